"""Text for terminals and logs: control characters of foreign text are escaped, and secrets are replaced.

File names, entries of archives, answers of servers and corpus text are foreign. An escape sequence in them could change the
title of a terminal or hide a line, and a bidirectional override could reorder it. Messages of libraries may quote a URL with its
password, or a token. Everything that the command line and the logs print passes `safe_text`. Files keep the text as it is.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Mapping

_KEPT = "\n\t\u00ad\u200c\u200d"  # a soft hyphen and the joiners belong to words of some languages
# So that plain text is fast.
_SUSPECT = re.compile(r"[^\n\t\x20-\x7e\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0600\u4e00-\u9fff]")
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, invisible formats, lone surrogates, separators of lines
STARS = "***"
_SECRETS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@'\"<>]+@", re.IGNORECASE), rf"\1{STARS}@"),
    (re.compile(r"(?i)\b((?:bearer|basic)\s+)[\w.~+/=-]{6,}"), rf"\1{STARS}"),
    (
        re.compile(
            r"(?i)([?&;\s\"'](?:x-amz-(?:signature|credential|security-token)|sig|signature|token|access_token|auth"
            r"|api_?key|password|secret|awsaccesskeyid)=)[^&\s\"'<>]+"
        ),
        rf"\1{STARS}",
    ),
    (re.compile(r"\bhf_[A-Za-z0-9]{16,}"), f"hf_{STARS}"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), STARS),
)
_SECRET_NAMES = re.compile(
    r"(?:TOKEN|SECRET|PASSWORD|PASSPHRASE|ACCESS_KEY|API_?KEY|PRIVATE_KEY|KEY_ID)$", re.IGNORECASE
)
_MIN_SECRET = 6  # characters; a shorter value occurs in other words


def safe_text(text: str) -> str:
    """Foreign text for a terminal or a log: without secrets, and with control characters as `\\u001b` or `\\u202e`."""
    return escape_controls(redact(text))


def escape_controls(text: str) -> str:
    """Escape characters that a terminal acts on or does not show, as JSON does; line breaks, tabs and letters stay."""
    return _SUSPECT.sub(_escape, text)


def redact(text: str, secrets: Mapping[str, str] | None = None) -> str:
    """Replace secrets by stars: passwords of URLs, tokens, signatures, and the values of variables that are named as secrets.

    Args:
        text: a message.
        secrets: values by name; default: the environment.
    """
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    for name, value in (os.environ if secrets is None else secrets).items():
        if len(value) >= _MIN_SECRET and value in text and _SECRET_NAMES.search(name):
            text = text.replace(value, STARS)
    return text


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN:
        return character
    return json.dumps(character)[1:-1]
