"""Remove passwords, tokens and signatures from URLs, before they are written to a file or a terminal."""

import re

REDACTED = "REDACTED"
_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/?#\s'\"<>]*@")
_NAMES = (
    r"(?:x-(?:amz|goog|oss|ms|obs)-)[\w-]+|awsaccesskeyid|googleaccessid|ossaccesskeyid|signature|sig|policy|"
    r"key-pair-id|(?:[\w-]*[-_])?(?:token|key|secret|password|passwd|pwd|credentials?|auth|authorization)|apikey|"
    r"accesskey|accesstoken|authtoken|pass|hmac|hdnts|hdnea|__gda__|jwt|session|sessionid|sid|verify"
)
_PARAMETER = re.compile(rf"(?i)([?&;#](?:{_NAMES})=)[^&;#\s'\"<>]*")


def redact(text: str) -> str:
    """Replace the credentials of every URL in a text: user and password, presigned queries, tokens, keys.

    Secrets in a path cannot be told from other paths, and stay.
    """
    if "://" not in text and "=" not in text:
        return text
    return _PARAMETER.sub(rf"\1{REDACTED}", _USER.sub(rf"\1{REDACTED}@", text))
