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
    check(not re.search(r"\n\n", page), "an empty line, which man(7) leaves undefined")
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


def test_the_pages_name_commands_and_options_that_exist():
    """README.md and cli/docs: whatever stands in a code span or an indented line behind the word img."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    pages = [os.path.join(root, "README.md")] + [os.path.join(root, "cli/docs", n) for n in os.listdir(root + "/cli/docs")]
    names = {*commands(), "help"}
    seen = 0
    for page in filter(lambda p: p.endswith(".md"), pages):
        text = open(page).read().replace("\\\n", " ")
        for code in re.findall(r"`([^`]+)`", text) + re.findall(r"^    .*$", text, re.M):
            for command, words in re.findall(r"(?:^|[(\s])img ([a-z]+)([^;|&]*)", code):
                check(command in names, f"{page}: there is no img {command}: {code}")
                seen += 1
                for option in re.findall(r"(?<= )--([a-z][a-z-]+)", words.split(" -- ")[0]):
                    check(option in [*options(command), "help"], f"{page}: img {command} has no --{option}: {code}")
    check(seen > 40, f"{seen} commands found: the pages were not understood")


LINES = (("img bui", ["build"]), ("img build --no-c", ["--no-cache", "--no-cache-filter", "--no-console"]),
         ("img -s /x hist", ["history"]), ("img nothing --x", []), ("img completion ", ["bash", "fish", "zsh"]),
         ("img build --format ", ["docker", "oci"]), ("img help pru", ["prune"]), ("img rmi t", ["two:2"]),
         ("img build -f name", ["name with blanks"]), ("img save -o name", ["name with blanks"]),
         ("img save t", ["two:2"]), ("img tag build --h", ["--help"]))


def completed(shell, script, line):
    """What the shell itself makes of the script at the end of the line."""
    state = State()
    state.built("FROM scratch\nCOPY Dockerfile /\n", "-t", "reg.example:5000/one", "-t", "two:2")
    where = directory("completing")
    write(os.path.join(where, "name with blanks"), "")
    write(os.path.join(where, shell), script)
    done = subprocess.run([shell, "-c", line], cwd=where, capture_output=True, check=True,
                          env={**state.env, "PATH": os.path.dirname(IMG) + ":" + state.env["PATH"]})
    check_equal(done.stderr, b"")
    return done.stdout.decode()


def test_bash_completes_commands_options_values_and_names():
    """bash(1), "Programmable Completion": a word ends at each of COMP_WORDBREAKS; the answer replaces what follows."""
    lines = [*LINES, ("img rm reg.example:5", ["5000/one:latest"]), ("img build --format=d", ["docker"]),
             ("img build --progress=pl", ["plain"]), ("img", [])]
    ask = "source ./bash\nCOMP_WORDBREAKS=$' \\t\\n:='\n"
    for line, _ in lines:
        ask += f"COMPREPLY=(); COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _img; IFS='|'; echo \"${{COMPREPLY[*]}}\"; unset IFS\n"
    found = completed("bash", img("completion", "bash"), ask).splitlines()
    for (line, expected), answer in zip(lines, found, strict=True):
        check_equal((line, sorted(answer.split("|")) if answer else []), (line, expected))


def test_fish_completes_commands_options_values_and_names():
    if shutil.which("fish") is None:
        raise Skip("fish is not installed")
    lines = [*LINES, ("img rm reg.example:5", ["reg.example:5000/one:latest"])]
    ask = "source ./fish\n" + "".join(f"complete -C '{line}'; echo ====\n" for line, _ in lines)
    found = completed("fish", img("completion", "fish"), ask).split("====\n")
    for (line, expected), answer in zip(lines, found):
        check_equal((line, sorted(row.split("\t")[0].replace("\\", "") for row in answer.splitlines())), (line, expected))


def test_zsh_completes_commands_options_values_and_names():
    """zshmodules(1), "zpty": an interactive zsh that is given a line and a tab."""
    if shutil.which("zsh") is None:
        raise Skip("zsh is not installed")
    lines = [("img bui", "img build "), ("img build --no-cache-f", "img build --no-cache-filter="),
             ("img -s /x hist", "img -s /x history "), ("img build --format d", "img build --format docker "),
             ("img rmi t", "img rmi two:2 "), ("img save -o name", "img save -o name\\ with\\ blanks "),
             ("img help pru", "img help prune "), ("img nothing --x", "img nothing --x")]
    ask = """zmodload zsh/zpty
ask() {
    zpty z 'zsh -f -i'
    zpty -w z "PS1=; autoload -U compinit; compinit -u -D; source ./zsh"
    zpty -w z 'show() { print -r -- "<$BUFFER>"; exit }; zle -N show; bindkey "^X" show; echo be''gun'
    zpty -r z skipped '*begun*'
    zpty -n -w z "$1"$'\\t\\x18'
    zpty -r z answer '*<*>*'
    print -r -- "${${answer##*<}%%>*}"
    zpty -d z
}
"""
    ask = ask.replace("\\\\", "\\") + "".join(f"ask '{line}'\n" for line, _ in lines)
    found = completed("zsh", img("completion", "zsh"), ask).splitlines()
    check_equal(found, [expected for _, expected in lines])


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
