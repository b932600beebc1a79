"""Builds as a user sees them: stages, files, arguments, users, the cache, and the image that comes out."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from ch02_namespaces.cgroups import hierarchies
from ch04_images import images
from tests.final.build.conftest import NAME, Builder, archive
from tests.support.engines import ENGINE_FAILED, fails, state_root
from tests.support.hosts import REPOSITORY

pytestmark = pytest.mark.kernel


def test_lines_in_a_pipe(builder: Builder) -> None:
    first = builder('FROM busybox\nRUN echo hello | tee /said\nCMD ["cat", "/said"]').splitlines()
    assert first[:3] == ["Step 1/3 : FROM busybox", "Step 2/3 : RUN echo hello | tee /said", "hello"]
    assert first[3].startswith(" ---> ")
    assert first[4] == 'Step 3/3 : CMD ["cat", "/said"]'
    id = builder.id()
    assert first[5:] == [f"Successfully built {id[7:19]}", f"Successfully tagged {NAME}:latest"]
    assert builder.do("run", "--rm", "--net", "none", NAME) == "hello"
    again = builder('FROM busybox\nRUN echo hello | tee /said\nCMD ["cat", "/said"]').splitlines()
    assert again[2] == " ---> Using cache" and "hello" not in again
    assert builder.id() == id


def test_configuration_and_history(builder: Builder) -> None:
    builder(
        "MAINTAINER somebody\nENV a=1\nLABEL x=y\nUSER nobody\nWORKDIR /w\nEXPOSE 80\nVOLUME /v\nSTOPSIGNAL INT\n"
        'ENTRYPOINT ["echo"]\nCMD ["b"]\nHEALTHCHECK --retries=2 CMD true\n',
        *("--label", "more=1"),
    )
    known = builder.known()
    assert known["Author"] == "somebody"
    config = known["Config"]
    assert config["Env"][-1] == "a=1" and config["Labels"] == {"x": "y", "more": "1"}
    assert config["Entrypoint"] == ["echo"] and config["Cmd"] == ["b"]
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("nobody", "/w", "INT")
    assert config["ExposedPorts"] == {"80/tcp": {}} and config["Volumes"] == {"/v": {}}
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Retries": 2}
    history = builder.do("history", "--no-trunc", "--format", "{{.CreatedBy}}", NAME).splitlines()
    assert len(history) == 12 and history[6] == "WORKDIR /w" and history[0] == "HEALTHCHECK --retries=2 CMD true"
    assert len(known["RootFS"]["Layers"]) == 2


def test_stages(builder: Builder) -> None:
    text = (
        "FROM busybox AS one\nRUN echo 1 > /one\n"
        "FROM busybox AS fails\nRUN false\n"
        "FROM busybox AS two\nCOPY --from=one /one /from/\nCOPY --from=0 /one /number\n"
        "FROM two\nCOPY --from=busybox /etc/passwd /image\nARG x\nRUN cat /from/one /number > /both\n"
        "FROM busybox AS last\nRUN false\n"
    )
    said = builder(text, "--target", "3")
    assert "false" not in said and "Step 1/9" in said
    assert builder.sh("cat /both; head -n1 /image") == "1\n1\nroot:x:0:0:root:/root:/bin/sh"
    builder(text, "--target", "one")
    assert builder.sh("cat /one; test ! -e /from") == "1"


def test_an_image_without_a_name(builder: Builder, tmp_path: Path) -> None:
    builder.write("Dockerfile", "FROM scratch\nCOPY a /\n")
    builder.write("a", "x")
    file = tmp_path / "id"
    id = builder.do("build", "-q", "--iidfile", str(file), str(builder.context))
    assert file.read_text() == id and id.startswith("sha256:")
    assert (
        f"<none>:<none> {id}"
        in builder.do("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
    )
    assert builder.known(id)["RootFS"]["Layers"] and builder.known(id)["Config"] == {}
    builder.do("rmi", id)


def test_from_scratch(builder: Builder) -> None:
    program = builder.write("busybox", Path("/bin/busybox").read_bytes(), 0o755)
    builder(
        'FROM scratch\nWORKDIR /bin\nCOPY busybox .\nRUN ["/bin/busybox", "ln", "-s", "busybox", "sh"]\n'
        'RUN echo $0 > /a\nCMD ["/bin/sh", "-c", "busybox cat /a"]'
    )
    assert builder.do("run", "--rm", "--net", "none", NAME) == "/bin/sh"
    assert builder.do("diff", builder.do("create", "--name", "c", NAME)) == ""
    builder.do("rm", "c")
    assert program.exists()
    builder.fails("FROM scratch\nRUN a", "Dockerfile:2: RUN", "empty image")
    builder.fails("FROM scratch\nCMD a", "it has no files")


def test_what_is_mounted_on_leaves_no_places(builder: Builder) -> None:
    """The network's files and /proc are mounted in each container; the layer of a step has nothing of that."""
    builder.write("busybox", Path("/bin/busybox").read_bytes(), 0o755)
    builder('FROM scratch\nCOPY busybox /\nRUN ["/busybox", "mkdir", "/a"]\nRUN ["/busybox", "touch", "/etc/mine"]')
    with state_root(builder.host.root):
        *_, first, second = images.find(NAME).layers
        assert os.listdir(images.layer_directory(first)) == ["a"]
        assert os.listdir(images.layer_directory(second)) == ["etc"]
        assert os.listdir(f"{images.layer_directory(second)}/etc") == ["mine"]


def test_run_in_all_its_forms(builder: Builder) -> None:
    builder(
        "ARG v=arg\nARG hidden=no\nENV hidden=env\nWORKDIR /w\n"
        "RUN echo $v $hidden $PWD $(id -u) > /shell\n"
        'RUN ["sh", "-c", "echo $0 $v > /list", "list"]\n'
        "RUN <<EOF\necho one > /script\necho two >> /script\nEOF\n"
        "RUN cat > /document <<A\n$v\nA\n"
        "RUN cat > /quoted <<'A'\n$v\nA\n"
        "RUN <<EOF\n#!/bin/sh -e\necho $0 > /program\nEOF\n"
        "USER nobody\nRUN id -u > /tmp/user\n"
        'SHELL ["/bin/sh", "-c", "echo $0 > /tmp/own_shell"]\nRUN word\n'
    )
    files = "/shell /list /script /document /quoted /program /tmp/user /tmp/own_shell"
    assert builder.sh(f"cat {files}").splitlines() == [
        *("arg env /w 0", "list arg", "one", "two", "arg", "$v", "/dev/heredoc", "65534", "word"),
    ]
    assert builder.sh("ls /dev/heredoc 2>/dev/null; env | grep -c ^v=; true") == "0"


def test_arguments(builder: Builder) -> None:
    text = "ARG base=busybox\nARG twice=outer\nFROM $base\nARG a\nARG b=${a:-none}\nARG twice\nARG TARGETARCH\n"
    text += "RUN echo $a $b $twice $TARGETARCH $http_proxy > /said"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    builder(text)
    assert builder.sh("cat /said") == f"none outer {machine}"
    result = builder.raw(text, "--build-arg", "a=1", "--build-arg", "http_proxy=p", "--build-arg", "strange=2")
    assert builder.sh("cat /said") == f"1 1 outer {machine} p"
    assert "strange" in result.error and "p" not in builder.do("history", "--format", "{{.CreatedBy}}", NAME).split()
    builder.fails("FROM $none", "Dockerfile:1: FROM", "empty")
    builder.fails("ARG stage=busybox\nCOPY --from=$stage /etc/passwd /", "Dockerfile:3: COPY", "takes no variables")


def test_arguments_are_those_of_their_stage(builder: Builder) -> None:
    builder(
        "ARG a=1\nFROM busybox AS one\nARG a\nARG b=${a}2\nENV c=$b\n"
        "FROM one AS two\nRUN echo $a $b $c > /two\n"
        'FROM busybox\nCOPY --from=two /two /\nRUN echo "[$a$b$c]" > /three\n'
    )
    assert builder.sh("cat /two /three") == "1 12 12\n[]"


def test_a_path_that_nobody_has_set_can_be_prolonged(builder: Builder) -> None:
    builder("FROM busybox AS one\nENV PATH=$PATH:/opt\nRUN ls / > /there")
    assert builder.known()["Config"]["Env"][0].endswith(":/bin:/opt")


def test_an_entrypoint_has_its_own_command(builder: Builder) -> None:
    builder('CMD ["own"]\nENTRYPOINT ["echo"]')
    assert builder.do("run", "--rm", "--net", "none", NAME) == "own"
    builder.do("tag", NAME, "base")
    builder('FROM base\nENTRYPOINT ["echo", "other"]')
    assert builder.do("run", "--rm", "--net", "none", NAME) == "other"
    builder('FROM base AS one\nCMD ["of one"]\nFROM one\nENTRYPOINT ["echo"]\nCMD ["two"]')
    assert builder.do("run", "--rm", "--net", "none", NAME) == "two"
    builder.do("rmi", "base")


def test_copy(builder: Builder) -> None:
    for name in ("dir/a", "dir/sub/b", "one.txt", "two.txt", "with space"):
        builder.write(name, name)
    os.symlink("a", builder.context / "dir/link")
    os.link(builder.context / "dir/a", builder.context / "dir/same")
    builder(
        "WORKDIR /w\nENV to=there\n"
        "COPY dir /new\nCOPY dir/ .\nCOPY one.txt renamed\nCOPY one.txt $to/deep/\nCOPY *.txt ./many/\n"
        'COPY ["with space", "/space d/"]\nCOPY dir/link /followed\nCOPY d?r/s*b /sub\nCOPY one.txt /etc\n'
        "COPY <<EOF <<'raw' /docs/\n$to\nEOF\n$to\nraw\n"
    )
    found = builder.sh(
        "cd /w; find /new . /docs /sub '/space d' | sort; readlink /new/link; cat /docs/*; cat /followed"
    )
    assert found.splitlines() == [
        *(".", "./a", "./link", "./many", "./many/one.txt", "./many/two.txt", "./renamed", "./same", "./sub"),
        *("./sub/b", "./there", "./there/deep", "./there/deep/one.txt", "/docs", "/docs/EOF", "/docs/raw", "/new"),
        *("/new/a", "/new/link", "/new/same", "/new/sub", "/new/sub/b", "/space d", "/space d/with space", "/sub"),
        *("/sub/b", "a", "there", "$to", "dir/a"),
    ]
    assert builder.sh("cat /etc/one.txt; stat -c %h /new/a") == "one.txt2"
    assert builder.sh("test ! -L /followed && echo file") == "file"


def test_owners_and_modes(builder: Builder) -> None:
    file = builder.write("d/a", "x")
    os.chown(file, 1234, 1234)
    file.chmod(0o4751)
    builder(
        "RUN echo 'me:x:7:8::/:' >> /etc/passwd; echo 'us:x:9:' >> /etc/group\nARG who=me\n"
        "COPY d /root_s/\nCOPY --chown=$who d /mine/\nCOPY --chown=me:us d /ours/\nCOPY --chown=5 d /five/\n"
        "COPY --chown=5:us --chmod=640 d/a /new/deep/file\n"
    )
    script = "stat -c '%u:%g %a %n' /root_s/a /mine /mine/a /ours/a /five/a /new/deep /new/deep/file"
    assert builder.sh(script).splitlines() == [
        *("0:0 4751 /root_s/a", "7:8 755 /mine", "7:8 4751 /mine/a", "7:9 4751 /ours/a", "5:5 4751 /five/a"),
        *("5:9 755 /new/deep", "5:9 640 /new/deep/file"),
    ]
    builder("FROM busybox AS x\nCOPY --chown=5:6 d /d/\nFROM busybox\nCOPY --from=x /d /d/")
    assert builder.sh("stat -c %u:%g /d/a") == "5:6"
    builder.fails("COPY --chown=you d /d/", "Dockerfile:2: COPY", "no user 'you'")
    builder.fails("COPY --chown=0:them d /d/", "no group 'them'")
    builder.fails("COPY --chmod=u*x d /d/", "--chmod=u*x: it is no mode")
    builder.fails("COPY --chmod=0888 d /d/", "no octal mode")
    builder("ARG how=go=rX,u-s\nCOPY --chmod=$how d /d/\nCOPY --chmod=+w d/a /a\n")
    assert builder.sh("stat -c '%a %n' /d/a /a").splitlines() == ["755 /d/a", "4751 /a"]


def test_add_unpacks_archives(builder: Builder) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as writer:
        member = tarfile.TarInfo("x/y")
        member.uid, member.size = 42, 3
        writer.addfile(member, io.BytesIO(b"abc"))
    builder.write("a.tar.gz", sink.getvalue())
    builder.write("no.tar", "text")
    builder("ADD a.tar.gz /in\nADD a.tar.gz no.tar /in/\nCOPY a.tar.gz /copied\n")
    found = builder.sh("cat /in/x/y /in/no.tar; echo; stat -c %u /in/x/y; ls /in; test -f /copied").split()
    assert found == ["abctext", "42", "no.tar", "x"]


def test_what_is_ignored(builder: Builder) -> None:
    for name in ("a.md", "README.md", "src/a.o", "src/a.c", "deep/er/keep", "deep/er/drop", "Dockerfile.more"):
        builder.write(name, name)
    builder.write(".dockerignore", "# not these\n*.md\n!README.md\n**/*.o\ndeep\n!deep/er/keep\nDockerfile*\n")
    builder("COPY . /all/")
    assert builder.sh("cd /all; find . -type f | sort").split() == [
        *("./.dockerignore", "./README.md", "./deep/er/keep", "./src/a.c"),
    ]
    builder.fails("COPY a.md /", "a.md is not there", ".dockerignore")
    builder.fails("COPY *.o /", "*.o is not there")
    os.symlink("a.md", builder.context / "link")
    builder.fails("COPY link /", "link is not there")
    builder.write("Dockerfile.dockerignore", "*\n!a.md\n")
    builder("COPY . /all/")
    assert builder.sh("ls /all") == "a.md"


def test_add_is_told_whether_to_unpack(builder: Builder) -> None:
    builder.write("a.tar", archive(("x", b"y")))
    builder("ADD --unpack=false a.tar /a/\nADD --unpack a.tar /b/\nADD --link a.tar /c/\n")
    assert builder.sh("cd /; ls a b c").split() == ["a:", "a.tar", "b:", "x", "c:", "x"]


def test_copy_without_some(builder: Builder) -> None:
    for name in ("home.txt", "home.md", "home.c", "d/a.txt", "d/a.c", "d/e/b.txt", "d/e/b.c", "d/e/keep.txt"):
        builder.write(name, name)
    builder(
        "COPY --exclude=*.txt --exclude=*.md hom* /top/\nCOPY --exclude=*.txt d /one/\n"
        "ARG end=txt\nCOPY --exclude=**/*.$end --exclude=!**/keep.txt d /all/\nADD --exclude=e d /two/\n"
    )
    assert builder.sh("cd /; find top one all two -type f | sort").split() == [
        *("all/a.c", "all/e/b.c", "all/e/keep.txt", "one/a.c", "one/e/b.c", "one/e/b.txt", "one/e/keep.txt"),
        *("top/home.c", "two/a.c", "two/a.txt"),
    ]
    said = builder("COPY --exclude=*.txt d /one/")
    builder.write("d/a.txt", "changed")
    assert "Using cache" in builder("COPY --exclude=*.txt d /one/") and "Using cache" not in said
    builder.fails("COPY --exclude=[ d /one/", "Dockerfile:2: COPY", "without ]")


def test_copy_with_parents(builder: Builder) -> None:
    for name in ("x/y/a.txt", "x/y/b.c", "x/z/a.txt", "w/a.txt", "x/y/deep/er/a.txt"):
        builder.write(name, name)
    os.symlink("x", builder.context / "link")
    builder.write(".dockerignore", "w\n")
    builder(
        "FROM busybox\nCOPY --parents ./x/y/a.txt x/z/a.txt /one/\n"
        "COPY --parents x/./y/*.txt /two/\nCOPY --parents x/y /three/\n"
        "COPY --parents **/a.txt /four/\nCOPY --parents=true x/./**/deep /five/\n"
        "COPY --parents=false x/y/b.c /six/\nCOPY --parents . /seven\nCOPY --parents --chown=5:6 x/./y/b.c /eight/\n"
        "FROM busybox\nCOPY --from=0 --parents /one/x/./y /nine/\nCOPY --from=0 /one /one\n"
    )
    found = builder.sh("cd /; find one nine -type f | sort").split()
    assert found == ["nine/y/a.txt", "one/x/y/a.txt", "one/x/z/a.txt"]
    builder((builder.context / "Dockerfile").read_text().rpartition("FROM")[0])
    assert builder.sh("cd /; find two three four five six eight -type f | sort; stat -c %u:%g /eight/y").split() == [
        *("eight/y/b.c", "five/y/deep/er/a.txt", "four/x/y/a.txt", "four/x/y/deep/er/a.txt", "four/x/z/a.txt"),
        *("six/b.c", "three/x/y/a.txt", "three/x/y/b.c", "three/x/y/deep/er/a.txt", "two/y/a.txt", "5:6"),
    ]
    assert builder.sh("ls /seven").split() == ["Dockerfile", "link", "x"]
    builder.fails("COPY --parents=perhaps x /y/", "neither true nor false")
    builder.fails("COPY --parents x/../../y /y/", "leads out")


def test_dockerfile_elsewhere(builder: Builder, tmp_path: Path) -> None:
    builder.write("a", "x")
    other = tmp_path / "Other"
    other.write_text("FROM busybox\nCOPY a /a\n")
    words = builder.words("-f", str(other))
    assert "COPY a /a" in builder.do(*words)
    assert "COPY a /b" in builder.do(*builder.words("-f", "-"), input=b"FROM busybox\nCOPY a /b")
    (tmp_path / "Other.dockerignore").write_text("a")
    fails(builder.engine.raw(*words), 1, "Other:2: COPY", "not there")
    fails(builder.engine.raw(*builder.words()), 1, "Dockerfile", "none in the context")


def test_context_on_standard_input(builder: Builder) -> None:
    words = [*builder.words()[:-1], "-"]
    builder.do(*words, input=b"FROM busybox\nRUN echo a > /a")
    assert builder.sh("cat /a") == "a"
    context = archive(("Dockerfile", b"FROM busybox\nCOPY x /x"), ("x", b"y"), ("Two", b"FROM busybox\nCOPY x /two"))
    builder.do(*words, input=context)
    assert builder.sh("cat /x") == "y"
    builder.do(*words, "-f", "Two", input=context)
    assert builder.sh("cat /two") == "y"
    fails(builder.engine.raw(*words, input=b"FROM busybox\nCOPY x /x"), 1, "x is not there")
    fails(builder.engine.raw(*words, input=b""), 1, "empty")


def test_the_cache(builder: Builder) -> None:
    text = "COPY a b /d/\nARG v\nRUN cat /d/a; head -c8 /dev/urandom > /random\nENV x=1"
    builder.write("a", "1")
    builder.write("b", "2")
    builder(text)
    first = id = builder.id()

    def is_another() -> bool:
        nonlocal id
        builder(text)
        before, id = id, builder.id()
        return id != before

    assert not is_another()
    os.utime(builder.context / "a", (1, 1))
    assert not is_another()
    builder.write("c", "not copied")
    assert not is_another()
    builder.write("a", "3")
    assert is_another()
    builder.write("a", "3", 0o600)
    assert is_another()
    builder.write("a", "1")
    assert is_another()  # that of the beginning
    assert id == first
    builder(text, "--build-arg", "v=1")
    assert builder.id() != id
    builder(text)
    assert builder.id() == id
    builder(text, "--no-cache")
    assert builder.id() != id
    id = builder.id()
    assert not is_another()


def test_the_cache_can_be_pruned(builder: Builder) -> None:
    builder("RUN echo a > /a\nRUN echo b > /b")
    assert len(builder.steps()) == 2
    assert sorted(builder.do("images", "--format", "{{.Repository}}").split()) == ["busybox", NAME]
    assert "Build Cache" in builder.do("system", "df")
    builder.do("image", "prune", "-f")
    builder.do("rmi", NAME)
    assert len(builder.steps()) == 2 and len(os.listdir(builder.host.root / "layers")) == 3
    assert "Total reclaimed space: 4B" in builder.do("builder", "prune", "-f")
    assert builder.steps() == [] and len(os.listdir(builder.host.root / "layers")) == 1
    builder("RUN echo a > /a")
    builder.do("system", "prune", "-f")
    assert builder.steps() == [] and builder.sh("cat /a") == "a"


def test_an_image_of_a_steps_name_is_no_step(builder: Builder) -> None:
    """Somebody else may guess a key, and bring an image of that name."""
    builder("RUN echo a > /a")
    (name,) = builder.steps()
    with state_root(builder.host.root):
        busybox = images.find("busybox")
        images.put(images.Image(name, busybox.layers, {}, 0, 0, {"config": "sha256:" + 64 * "0"}))
        images.remove(NAME)
    builder("RUN echo a > /a")
    assert builder.sh("cat /a") == "a"


def test_mounts_of_run(builder: Builder) -> None:
    text = "ARG v\nRUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/tmp/x "
    text += "echo $v >> /cache/said; cp /cache/said /; touch /tmp/x/y"
    builder(text, "--build-arg", "v=1")
    builder(text, "--build-arg", "v=2")
    assert builder.sh("cat /said; ls -d /cache /tmp/x 2>/dev/null; true").split() == ["1", "2"]
    builder.fails("RUN --mount=type=secrets,id=x true", "Dockerfile:2: RUN", "type=secrets is not known")
    builder.fails("RUN --mount=type=cache true", "--mount=type=cache")


def test_what_containers_of_a_build_may_use(builder: Builder) -> None:
    """As `run` takes it, for each RUN; it is no part of the image, nor of the key in the cache."""
    flags = ["--ulimit", "nofile=77:88", "--shm-size", "3m", "--add-host", "db:192.0.2.9", "--cpuset-cpus", "0"]
    script = "ulimit -n; df -m /dev/shm; grep db /etc/hosts; grep ^Cpus_allowed_list /proc/self/status"
    said = builder(f"RUN {script}", *flags).split()
    assert {"77", "3", "192.0.2.9"} < set(said)
    assert said[said.index("Cpus_allowed_list:") + 1] == "0"
    assert "Using cache" in builder(f"RUN {script}", "--ulimit", "nofile=99:99")
    fails(builder.raw("RUN true", "--ulimit", "nofile=x"), ENGINE_FAILED, "--ulimit nofile=x")


def test_memory_of_a_build(builder: Builder) -> None:
    if not any("memory" in hierarchy.controllers for hierarchy in hierarchies()):
        pytest.skip("no memory controller here")
    fails(builder.raw("RUN tail /dev/zero", "-m", "16m"), 1, "exit code 137")


def test_network_of_run(builder: Builder) -> None:
    builder.network = []
    builder("RUN ls /sys/class/net > /usual\nRUN --network=none ls /sys/class/net > /none")
    assert builder.sh("cat /usual /none").split() == ["eth0", "lo", "lo"]
    builder.fails("RUN --network=x true", "default, none or host")
    builder.fails("RUN --security=insecure true", "Dockerfile:2: RUN", "not granted")
    builder("RUN --security=sandbox true")


def test_onbuild(builder: Builder) -> None:
    builder.write("a", "x")
    builder("ONBUILD COPY a /a\nONBUILD RUN echo $(cat /a)y > /b")
    assert builder.sh("ls /a /b 2>/dev/null; true") == ""
    builder.do("tag", NAME, "base")
    builder("FROM base\nRUN cat /b /b > /c")
    assert builder.sh("cat /c").split() == ["xy", "xy"]
    assert "OnBuild" not in builder.known()["Config"]
    builder("ONBUILD COPY --from=one /x /y")
    builder.do("tag", NAME, "base")
    builder("FROM busybox AS one\nRUN echo 1 > /x\nFROM base")  # only now is it known that the first is needed
    assert builder.sh("cat /y") == "1"
    builder.do("rmi", "base")


def test_flags(builder: Builder) -> None:
    fails(builder.raw("RUN true", "--target", "x"), 1, "no stage 'x'")
    fails(builder.raw("RUN true", "-t", "BAD"), ENGINE_FAILED, "BAD")
    fails(builder.raw("FROM localhost:1/none"), ENGINE_FAILED, "Dockerfile:1: FROM", "localhost:1/none")
    fails(builder.engine.raw("build", "/nowhere"), ENGINE_FAILED, "/nowhere")
    for url in ("https://localhost/team/it.git", "git@localhost:team/it"):
        fails(builder.engine.raw("build", url), ENGINE_FAILED, url, "git clone")
    said = builder.raw("RUN echo why >&2; false", "-q")
    assert (said.code, said.out) == (1, b"") and said.error.splitlines()[0] == "why"
    assert builder("RUN true", "--rm", "--force-rm=false", "--compress", "--cache-from", "busybox")
    assert builder.do("image", "build", "--help").startswith("usage: mydocker image build")


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_others_read_what_is_built(builder: Builder, tmp_path: Path, format: str) -> None:
    builder.write("a", "x")
    builder("COPY a /a\nRUN rm /a; echo b > /b\nLABEL c=d")
    file = tmp_path / "saved.tar"
    builder.do("save", "--format", format, "-o", str(file), NAME)
    words = ["skopeo", "inspect", f"{format}:{file}"]
    found = json.loads(builder.host.run([*words], cwd=REPOSITORY).text)
    assert len(found["Layers"]) == 3 and found["Labels"] == {"c": "d"}
    config = json.loads(builder.host.run([*words, "--config"]).text)
    assert sum(not step.get("empty_layer") for step in config["history"]) == len(config["rootfs"]["diff_ids"]) == 3
