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


if __name__ == "__main__":
    main(globals())
