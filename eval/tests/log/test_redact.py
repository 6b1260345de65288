import json

from hypothesis import given, settings
from hypothesis import strategies as st
from podium_eval.log.redact import MASK, Redactor, secrets_of
from pydantic import BaseModel, SecretStr


class Settings(BaseModel):
    key: SecretStr | None = None
    more: dict[str, SecretStr] = {}
    expert: str | None = None


def test_every_secret_of_the_settings_is_found() -> None:
    settings = Settings(
        key=SecretStr("sk-first"),
        more={"ADDED_API_KEY": SecretStr("sk-second")},
        expert="vllm/m@http://me:pass-word@host:1/v1,http://me:other-word@host:2/v1",
    )
    assert set(secrets_of(settings)) == {"sk-first", "sk-second", "pass-word", "other-word"}
    assert secrets_of(Settings()) == []


def test_a_secret_that_begins_another_does_not_leave_the_rest() -> None:
    assert Redactor(["sk-abc", "sk-abc-def"]).text("x sk-abc-def y sk-abc") == f"x {MASK} y {MASK}"


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=6), st.text(max_size=20))
def test_no_form_of_a_secret_gets_through(secret: str, around: str) -> None:
    redactor = Redactor([secret])
    assert secret not in redactor.text(f"{around}{secret}{around}").replace(MASK, "\0")
    for ascii_only in (True, False):
        line = json.dumps({"text": secret}, ensure_ascii=ascii_only).encode()
        assert json.loads(redactor.data(line))["text"] == MASK


def test_a_key_that_comes_back_in_another_form_is_redacted() -> None:
    key = "sk-a/b+c=d \r"
    redactor = Redactor([key])
    for form in (
        key,
        key.strip(),
        "sk-a%2Fb%2Bc%3Dd",
        "sk-a/b%2Bc%3Dd",
        repr(key),
        repr(key.encode()),
        json.dumps(key),
    ):
        shown = redactor.text(f"Bearer {form}!")
        assert MASK in shown
        assert "b+c" not in shown
        assert "b%2Bc" not in shown


def test_a_key_that_is_no_text_breaks_nothing() -> None:
    assert Redactor(["sk-\udcff-abcdef"]).data(b"x") == b"x"
