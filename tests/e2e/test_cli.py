"""What people and scripts see of img: lists, formats, filters, help, progress and the exit status."""
import json
import os
import subprocess

from harness import IMG, State, check, check_equal, check_in, main, write


def scratch(state, name, *lines, epoch=1700000000):
    """An image of one file that says when it was made."""
    state.built("\n".join(["FROM scratch", "COPY f /", *lines]) + "\n", "-t", name, "--source-date-epoch",
                str(epoch), context={"f": name})


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


# -- img ls --

def test_ls_shows_the_columns_of_the_first_img_and_aligns_them():
    """FEATURES 2.1: NAME SIZE CREATED AT UPDATED AT DIGEST."""
    state = State()
    scratch(state, "a")
    scratch(state, "reg.example/a/much/longer/name:1")
    lines = state.ok("ls").out.splitlines()
    check_equal(lines[0].split(), ["NAME", "SIZE", "CREATED", "AT", "UPDATED", "AT", "DIGEST"])
    check_equal([line.split()[0] for line in lines[1:]], ["a:latest", "reg.example/a/much/longer/name:1"])
    for title in ("SIZE", "DIGEST"):
        column = lines[0].index(title)
        for line in lines[1:]:
            check(line[column - 1] == " " and line[column] != " ", f"{title} is not aligned:\n{line}")
    check_in("sha256:", lines[1])
    check_equal(len(lines[1].split()[-1]), 71)  # a pipe gets all of it


def test_ls_prints_a_template_a_table_of_one_or_json():
    """docs.docker.com, "docker image ls", "Format the output": the placeholders."""
    state = State()
    scratch(state, "a:1", "LABEL who=me a.b=c")
    check_equal(state.ok("ls", "--format", "{{.Repository}}|{{.Tag}}|{{.CreatedAt}}").out,
                "a|1|2023-11-14T22:13:20Z\n")
    check_equal(state.ok("images", "--format", "table {{.Repository}}\\t{{.Tag}}").out,
                "REPOSITORY   TAG\na            1\n")
    check_equal(state.ok("ls", "--format", '{{index .Labels "a.b"}} {{len .Labels}}').out, "c 2\n")
    [row] = rows(state.ok("ls", "--format", "json").out)
    check_equal((row["Name"], row["Labels"]), ("a:1", {"who": "me", "a.b": "c"}))
    check_equal([r["Tag"] for r in json.loads(state.ok("ls", "--json").out)], ["1"])
    whole = state.ok("ls", "--no-trunc", "--format", "{{.ID}} {{.Digest}}").out.split()
    check_equal([len(word) for word in whole], [71, 71])
    check_equal(state.ok("ls", "--format", "{{.ID}}").out.strip(), whole[0][7:19])
    check_equal(state.ok("ls", "-q").out.strip(), whole[1])
    result = state.run("ls", "--format", "{{.Nam}}")
    check_equal(result.code, 1)
    check_in("there is no field '.Nam'", result.err)
    check_in("did you mean '.Name'?", result.err)


def names(state, *words):
    return state.ok("ls", "--format", "{{.Name}}", *words).out.split()


def test_ls_filters_by_name_label_time_and_dangling():
    """docs.docker.com, "docker image ls", "Filtering"."""
    state = State()
    scratch(state, "old:1", "LABEL n=1 both=", epoch=1500000000)
    scratch(state, "mid:1", "LABEL n=2 both=", epoch=1600000000)
    scratch(state, "new:2", epoch=1700000000)
    scratch(state, "reg.example/x/new:2", epoch=1700000000)
    everything = ["mid:1", "new:2", "old:1", "reg.example/x/new:2"]
    check_equal(names(state), everything)
    for words, expected in (
            (["reference=new"], ["new:2"]), (["reference=*:1"], ["mid:1", "old:1"]),
            (["reference=*/*/new"], ["reg.example/x/new:2"]), (["reference=old", "reference=mid"], ["mid:1", "old:1"]),
            (["label=both"], ["mid:1", "old:1"]), (["label=n=2"], ["mid:1"]),
            (["label=both", "label=n=1"], ["old:1"]), (["label!=both"], ["new:2", "reg.example/x/new:2"]),
            (["before=mid:1"], ["old:1"]), (["since=mid:1"], ["new:2", "reg.example/x/new:2"]),
            (["until=2020-01-01"], ["old:1"]), (["dangling=true"], []), (["dangling=false"], everything)):
        check_equal(names(state, *[w for f in words for w in ("--filter", f)]), expected)
    check_equal(names(state, "o*"), ["old:1"])
    check_in("unknown filter 'size=1'", state.fails("ls", "-f", "size=1").err)
    check_in("true or false, not 'x'", state.fails("ls", "-f", "dangling=x").err)
    check_in("no such image", state.fails("ls", "-f", "before=zzz").err)
    scratch(state, "old:1", "LABEL changed=1")
    check_equal(names(state, "--filter", "dangling=true"), ["<none>"])
    check_equal(names(state, "-a", "--sort", "created")[-1], "<none>")  # the oldest
    check("<none>" not in names(state), "an image without a name is shown unasked")


if __name__ == "__main__":
    main(globals())
