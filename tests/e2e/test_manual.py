"""The manual page and the completions, as the programs that read them see them."""
import re

from harness import *


def img(*words):
    return subprocess.run([IMG, *words], stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout.decode()


def commands():
    part = img("help").split("Commands:\n")[1].split("\n\n")[0]
    return re.findall(r"^  (\S+)", part, re.M)


def options(command):
    part = img("help", command).partition("\nOptions:\n")[2]
    return re.findall(r"^  (?:-., |    )--(\S+?)(?:[ \[]|$)", part, re.M)


def test_mandoc_finds_nothing_to_say_about_the_manual():
    if shutil.which("mandoc") is None:
        raise Skip("mandoc is not installed")
    found = subprocess.run(["mandoc", "-T", "lint", "-W", "style"], input=img("help", "--man").encode(), capture_output=True)
    said = [l for l in found.stdout.decode().splitlines() if "operating system" not in l.lower()]
    check_equal(said, [])


def test_the_manual_has_every_command_and_option():
    page = img("help", "--man").replace("\\-", "-")
    for command in commands():
        check_in(f".SS img {command}\n", page)
        part = page.partition(f".SS img {command}\n")[2].partition(".SS ")[0]
        for option in options(command):
            check_in(f"--{option}", part)
    check("build" in commands() and "tag" in options("build"), "the help was not understood")


def test_every_shell_accepts_its_completion():
    for shell, words in (("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])):
        path = os.path.join(SCRATCH, shell)
        write(path, img("completion", shell))
        if shell == "bash" or shutil.which(shell):
            done = subprocess.run([shell, *words, path], capture_output=True)
            check_equal((done.returncode, done.stderr), (0, b""))
        for command in commands():
            check_in(command, open(path).read())


def test_bash_completes_commands_and_options():
    path = os.path.join(SCRATCH, "bash")
    write(path, img("completion", "bash"))
    ask = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _img; printf "%s\\n" "${COMPREPLY[@]}"'

    def complete(*words):
        done = subprocess.run(["bash", "-c", ask, "bash", path, *words], capture_output=True, check=True)
        return done.stdout.decode().split()

    check_equal(complete("img", "bui"), ["build"])
    check_equal(complete("img", "build", "--no-c"), [f"--{o}" for o in options("build") if o.startswith("no-c")])
    check_equal(complete("img", "-s", "/x", "hist"), ["history"])
    check_equal(complete("img", "nothing", "--x"), [])


def test_bash_completes_names_of_images_behind_an_alias_too():
    state = State()
    state.built("FROM scratch\nCOPY Dockerfile /\n", "-t", "reg.example/one", "-t", "two:2")
    path = os.path.join(SCRATCH, "bash")
    write(path, img("completion", "bash"))
    ask = 'PATH="$2:$PATH"; source "$1"; COMP_WORDS=(img rmi t); COMP_CWORD=2; _img; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", ask, "bash", path, os.path.dirname(IMG)], capture_output=True, check=True,
                          env=state.env)
    check_equal(done.stdout.decode().split(), ["two:2"])


def test_an_installation_has_program_manual_and_completions_in_their_places():
    """FHS 4.11; bash-completion's, zsh's and fish's own rules for where they look."""
    build = os.environ.get("IMG_BUILD_DIR", "")
    if shutil.which("meson") is None or not os.access(os.path.join(build, "meson-logs"), os.W_OK):
        raise Skip("the build directory is not ours to install from")
    where = directory("installed")
    subprocess.run(["meson", "install", "--no-rebuild", "--quiet", "--destdir", where], cwd=build, check=True,
                   capture_output=True)
    prefix = json.loads(subprocess.run(["meson", "introspect", "--buildoptions"], cwd=build, check=True,
                                       capture_output=True).stdout)
    prefix = where + next(o["value"] for o in prefix if o["name"] == "prefix")
    program = os.path.join(prefix, "bin/img")
    check_equal(subprocess.run([program, "version"], capture_output=True, check=True).stdout.decode(), img("version"))
    for path, text in (("share/man/man1/img.1", img("help", "--man")),
                       ("share/bash-completion/completions/img", img("completion", "bash")),
                       ("share/zsh/site-functions/_img", img("completion", "zsh")),
                       ("share/fish/vendor_completions.d/img.fish", img("completion", "fish"))):
        with open(os.path.join(prefix, path)) as f:
            check(f.read() == text, f"{path} is not what the program prints")
        check_equal(os.stat(os.path.join(prefix, path)).st_mode & 0o777, 0o644)


if __name__ == "__main__":
    main(globals())
