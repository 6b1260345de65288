"""Keys as they can be sent: blanks around them dropped, and what no HTTP header carries refused at the start."""

from typing import Annotated

from pydantic import AfterValidator, SecretStr


def _sendable(key: SecretStr) -> SecretStr:
    text = key.get_secret_value().strip()
    wrong = next((position for position, character in enumerate(text, 1) if not "!" <= character <= "~"), None)
    if wrong is not None:
        raise ValueError(
            f"character {wrong} of {len(text)} is none that a key can hold (a blank, a line's end, …): copy it again"
        )
    return SecretStr(text)


Key = Annotated[SecretStr, AfterValidator(_sendable)]
