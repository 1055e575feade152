import pytest

from flwr.fab.git_reference import GitReference, GitReferenceError, parse_git_reference
from flwr.fab.git_reference import is_git_reference as is_reference


def reference(**fields: str) -> GitReference:
    return GitReference(**{"url": "https://h.example/o/r", "scheme": "https", **fields})


@pytest.mark.row("S45")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("git+https://h.example/o/r", reference()),
        ("git+https://h.example/o/r@v1.2", reference(name="v1.2")),
        ("git+https://h.example/o/r@feature/x", reference(name="feature/x")),
        ("git+https://h.example/o/r@pkg%401.2", reference(name="pkg@1.2")),
        (
            "git+https://h.example/o/r@main#subdirectory=apps/a",
            reference(name="main", subdirectory="apps/a"),
        ),
        ("git+https://[::1]:8443/r.git", reference(url="https://[::1]:8443/r.git")),
        ("git+ssh://git@h/o/r@v1", reference(url="ssh://git@h/o/r", scheme="ssh", name="v1")),
        ("git+file:///srv/r", reference(url="file:///srv/r", scheme="file")),
        ("git+http://127.0.0.1:8/r", reference(url="http://127.0.0.1:8/r", scheme="http")),
    ],
)
def test_a_reference_is_read(text: str, wanted: GitReference) -> None:
    assert is_reference(text)
    assert parse_git_reference(text) == wanted


@pytest.mark.row("S45")
@pytest.mark.parametrize(
    ("text", "why", "remedy"),
    [
        ("git+https://h/r@--upload-pack=x", "can be no tag", "git ls-remote"),
        ("git+https://h/r@-x", "can be no tag", "git ls-remote"),
        ("git+https://h/r@+x", "can be no tag", "git ls-remote"),
        ("git+https://h/r@a:b", "can be no tag", "git ls-remote"),
        ("git+https://h/r@a..b", "can be no tag", "git ls-remote"),
        ("git+https://h/r@a%0Ab", "can be no tag", "git ls-remote"),
        ("git+https://h/r@", "nothing follows its @", "git+https://"),
        ("git+https://h/r?private_token=x", "a query", "--git-token-file"),
        ("git+https://-oProxyCommand=x/r", "host", "git+https://"),
        ("git+ssh://-oProxyCommand=x/r", "host", "git+https://"),
        ("git+ssh://-o@h/r", "user name is not allowed", "git+https://"),
        ("git+ssh://%2DoX/r", "host", "git+https://"),
        ("git+ssh://git@h:owner/r", "host or port", "git+ssh://git@HOST/OWNER/REPO"),
        ("git+https://h", "names no repository", "git+https://"),
        ("git+https://h/a b", "names no repository", "git+https://"),
        ("git+file://h/r", "names a host", "git+file:///"),
        ("git+http://h.example/r", "clear text", "use git+https"),
        ("git+ext::sh -c id", "no way to it", "git+https://"),
        ("git+https://h/r#egg=x", "only subdirectory=PATH", "git+https://"),
        ("git+https://h/r#subdirectory=../x", "not inside", "git+https://"),
        ("git+https://h/r#subdirectory=/etc", "not inside", "git+https://"),
        ("git+https://h/r#subdirectory=", "not inside", "git+https://"),
        ("git+https://h/" + "a" * 3000, "too long", "git+https://"),
        ("git+https://h/r\x1b[2J", "not printable", "git+https://"),
    ],
)
def test_what_could_mislead_git_or_a_person_is_refused(text: str, why: str, remedy: str) -> None:
    with pytest.raises(GitReferenceError, match=why) as caught:
        parse_git_reference(text)
    assert remedy in caught.value.hint


@pytest.mark.row("S45")
@pytest.mark.parametrize("scheme", ["https", "ssh", "http"])
@pytest.mark.parametrize("secret", ["me:s3cr3t", ":s3cr3t", "s3cr3t:"])
def test_a_password_is_refused_and_never_repeated(scheme: str, secret: str) -> None:
    with pytest.raises(GitReferenceError) as caught:
        parse_git_reference(f"git+{scheme}://{secret}@127.0.0.1/r@v1")
    assert "s3cr3t" not in caught.value.message + caught.value.hint
    assert "password" in caught.value.message + caught.value.hint


def test_a_token_in_the_place_of_a_user_is_a_password_too() -> None:
    with pytest.raises(GitReferenceError, match="password") as caught:
        parse_git_reference("git+https://ghp_s3cr3t@h.example/o/r")
    assert "--git-token-file" in caught.value.hint


@pytest.mark.parametrize("text", ["https://h/o/r", "ssh://git@h/o/r", "git@h.example:o/r.git"])
def test_an_address_without_its_prefix_gets_the_remedy(text: str) -> None:
    with pytest.raises(GitReferenceError) as caught:
        is_reference(text)
    assert "put git+ before it" in caught.value.hint


@pytest.mark.parametrize("text", [".", "apps/git", "@acme/app", "~/x", "/srv/app"])
def test_folders_and_names_of_a_hub_are_no_references(text: str) -> None:
    assert not is_reference(text)
