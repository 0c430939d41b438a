"""What people see on a terminal, which says how wide it is: tables, help, errors, a build, ^C."""
import fcntl
import pty
import re
import select
import struct
import termios

from harness import *


class Terminal:
    """img on a terminal of `columns`; .text is all it wrote, as lines."""

    def __init__(self, state, columns, *words, env=None, rows=24):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.fd = ours
        self.modes = termios.tcgetattr(theirs)
        self.process = subprocess.Popen([IMG, *words], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                                        env={**state.env, "TERM": "xterm-256color", "CI": "", **(env or {})},
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.theirs = theirs
        self.bytes = b""

    def read_until(self, part):
        while part not in self.bytes:
            self.bytes += os.read(self.fd, 65536)

    def end(self):
        while self.process.poll() is None or select.select([self.fd], [], [], 0)[0]:
            if select.select([self.fd], [], [], 0.05)[0]:
                self.bytes += os.read(self.fd, 65536)
        self.code = self.process.returncode
        self.text = self.bytes.decode().replace("\r\n", "\n")
        self.modes_after = termios.tcgetattr(self.theirs)
        os.close(self.fd)
        os.close(self.theirs)
        return self


def shown(state, columns, *words, **more):
    return Terminal(state, columns, *words, **more).end().text


def check_fits(text, columns):
    for line in text.splitlines():
        check(len(line) <= columns, f"{len(line)} columns of {columns}: {line!r}")


LONG = "registry.example.com/company/department/team/project/component/image-name:v1.2.3"
shared_state = None


def images():
    global shared_state
    if shared_state is None:
        shared_state = State()
        shared_state.built('FROM scratch\nCOPY ["Dockerfile", "/a name that is too long to be shown/x"]\n', "-t", "app:1", "-t", LONG)
    return shared_state


def test_lists_fit_the_terminal_and_show_all_where_there_is_room():
    wide = shown(images(), 220, "ls")
    check_in(LONG, wide)
    check_in("UPDATED AT", wide)
    narrow = shown(images(), 76, "ls")
    check_fits(narrow, 76)
    check("UPDATED AT" not in narrow, "a column too many")
    for part in ("NAME", "SIZE", "CREATED AT", "DIGEST", "app:1", "…", "v1.2.3 ", "\nregistr…"):
        check_in(part, narrow)
    check(re.search(r"sha256:[0-9a-f]{12}\n", narrow), "the digest was cut: " + narrow)
    for words in (["history", "app:1"], ["du"], ["logs"]):
        for columns in (76, 60):
            check_fits(shown(images(), columns, *words), columns)


def test_lists_are_whole_when_asked_or_in_a_pipe():
    for text in (shown(images(), 60, "ls", "--no-trunc"), images().ok("ls").out,
                 shown(images(), 60, "ls", "--format", "table {{.Name}}\t{{.Digest}}")):
        check_in(LONG, text)
    check_in("too long to be shown/x", shown(images(), 60, "history", "--no-trunc", "app:1"))


def test_help_is_filled_to_the_terminal_without_breaking_words():
    words = images().ok("build", "--help").out.split()
    for columns in (50, 80, 300):
        text = shown(images(), columns, "build", "--help")
        check_equal(text.split(), words)
        if columns >= 80:
            check_fits(text, 100 if columns > 100 else columns)
        check_fits(shown(images(), columns, "help"), 100 if columns > 100 else columns)
    check_fits(images().ok("help").out, 80)


def test_an_error_is_broken_between_words_on_a_terminal_and_one_line_in_a_log():
    said = shown(images(), 40, "inspect", "no-such-image-of-mine")
    check_fits(said, 40)
    check_in("img: no such image:", said)
    check_in("`img pull no-such-image-of-mine`", said)
    check_equal(len(images().fails("inspect", "no-such-image-of-mine").err.splitlines()), 2)


def test_no_colour_where_none_is_wanted_and_no_cursor_on_a_dumb_terminal():
    """no-color.org: set and not empty. TERM=dumb: nothing can be moved."""
    build = ("build", "--no-cache", make_context("FROM scratch\nCOPY Dockerfile /\n", {}))
    check_in("\033[32m", shown(images(), 80, *build))
    plain = shown(images(), 80, *build, env={"NO_COLOR": "1"})
    check(not re.search(r"\033\[[\d;]*m", plain), "colours: " + repr(plain))
    check_in("\033[K", plain)
    for env in ({"TERM": "dumb"}, {"CI": "true"}):
        check("\033" not in shown(images(), 80, *build, env=env), f"an escape with {env}")
    check("\033" not in shown(images(), 80, "doctor", "--offline", env={"TERM": "dumb"}), "doctor colours a dumb terminal")


def test_variables_of_buildkit_choose_colours_log_lines_and_the_display():
    """BuildKit's README: BUILDKIT_COLORS, BUILDKIT_TTY_LOG_LINES; docker buildx: BUILDKIT_PROGRESS, which options beat."""
    build = ("build", "--no-cache", make_context("FROM scratch\nCOPY Dockerfile /\n", {}))
    coloured = shown(images(), 80, *build, env={"BUILDKIT_COLORS": "nonsense:run=blue"})
    check_in("\033[34m", coloured)
    check("\033[32m" not in coloured, repr(coloured))
    plain = shown(images(), 80, *build, env={"BUILDKIT_PROGRESS": "plain"})
    check("\033" not in plain and "#1 [internal] load build definition" in plain, repr(plain))
    check_in("\033", shown(images(), 80, *build, "--progress=tty", env={"BUILDKIT_PROGRESS": "plain"}))
    wordy = make_context(f"FROM {busybox()}\nRUN seq 100 120; sleep 1\n", {})
    for lines, some in (("2", False), ("", True)):
        text = shown(images(), 80, "build", "--no-cache", wordy, env={"BUILDKIT_TTY_LOG_LINES": lines})
        check_in("# 120", text)
        check_equal("# 116" in text, some)


def test_the_title_of_a_build_counts_what_is_planned_from_the_start():
    """BuildKit's "[+] Building 3.2s (5/12)": over, of all; and its heading of a failure, with the step's place."""
    state = State()
    text = f"FROM {busybox()} AS one\nRUN sleep 1\nFROM scratch AS unused\nCOPY no no\nFROM {busybox()}\n" \
           "COPY --from=one /bin/sh /sh\nWORKDIR /x\nRUN exit 3\n"
    made = shown(state, 100, "build", make_context(text, {}))
    counts = [(int(done), int(of)) for done, of in re.findall(r"\[\+\] Building [\d.]+s \((\d+)/(\d+)\)", made)]
    while_it_slept = [of for done, of in counts if 0 < done < 6]
    check(while_it_slept and min(while_it_slept) >= 7, counts)  # the Dockerfile, two steps of one, four of the last
    check_equal(counts[-1][0], counts[-1][1])
    check_in(" > [stage-2 4/4] RUN exit 3:", made)


def test_what_a_step_prints_for_a_terminal_is_shown_as_text():
    """Colours and bars of tools that were told to use them; and what is cut says so."""
    state = State()
    text = f"FROM {busybox()}\nRUN printf '\\033[1;33mwarning\\033[0m: %s\\n' careful; printf '10%%\\033[1G\\033[2K20%%\\n'; " \
           "sleep 0.5; exit 3\n"
    made = shown(state, 60, "build", "--no-cache", make_context(text, {}))
    check_in(" => => # warning: careful\x1b", made)
    check_in(" => => # 20%\x1b", made)
    check("x1b[" not in made.partition("------")[0].replace("\\033[", ""), made)
    check(re.search(r" => \[2/2\] RUN printf .*… +\d\.\ds\x1b", made), made)
    check_in("20%\n", state.run("logs", "1").out)


def test_a_base_that_was_fetched_is_not_said_to_be_cached():
    """BuildKit: FROM is CACHED when nothing had to be fetched for it."""
    state = State()
    context = make_context(f"FROM {busybox()}\nCOPY Dockerfile /\n", {})
    for cached in (False, True):
        said = state.ok("build", "--progress=plain", "--no-cache", context).err
        number = re.search(r"#(\d+) \[1/2\] FROM", said).group(1)
        check_in(f"#{number} CACHED\n" if cached else f"#{number} DONE 0.0s\n", said)


def test_an_interrupted_build_leaves_the_terminal_as_it_was():
    state = State()
    where = make_context(f"FROM {busybox()}\nRUN echo begun; sleep 1000\n", {})
    t = Terminal(state, 80, "build", where)
    t.read_until(b"begun\x1b[")
    os.write(t.fd, b"\x03")
    t.end()
    check_equal(t.code, 130)
    check(t.text.endswith("img: canceled\n"), repr(t.text[-200:]))
    check_in(" CANCELED\x1b[K", t.text)
    check("FINISHED" not in t.text, t.text[-400:])
    check_equal(t.modes_after, t.modes)
    check(not re.search(r"\033\[\?", t.text), "a mode of the terminal was changed")
    check_equal(processes_with(state.path), [])


def test_the_tool_that_takes_pictures_for_the_pages_shows_what_the_terminal_does():
    tool = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "tools/capture")
    env = {**images().env, "PATH": os.path.dirname(IMG) + ":" + images().env["PATH"]}
    for words, columns in ((["version"], 76), (["help"], 60)):
        said = subprocess.run([tool, "-w", str(columns), "-o", "-", "img", *words], env=env, check=True, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True).stdout
        expected = re.sub(r"\033\[[\d;]*m", "", shown(images(), columns, *words))
        check_equal(sorted(said.splitlines()), sorted(["$ img " + " ".join(words), *expected.splitlines()]))


if __name__ == "__main__":
    main(globals())
