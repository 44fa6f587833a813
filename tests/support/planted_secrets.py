"""Made-up secrets of every kind, each in a line of code as people write it.

They are drawn anew from a seed, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import string
from random import Random

_ALNUM = string.ascii_letters + string.digits
_UPPER = string.ascii_uppercase + string.digits
_HEX = "0123456789abcdef"


def _drawn(name: str, count: int, letters: str = _ALNUM) -> str:
    """So many random letters, the same for the same name; among the first ones is a digit."""
    random = Random(f"{name} {count}")
    text = "".join(random.choice(letters) for _ in range(count))
    return text[:2] + "7" + text[3:]


_TOKENS = {
    "aws id": ("AK" + "IA", 16, _UPPER),
    "aws temporary id": ("AS" + "IA", 16, _UPPER),
    "github classic": ("gh" + "p_", 36, _ALNUM),
    "github oauth": ("gh" + "o_", 36, _ALNUM),
    "github server": ("gh" + "s_", 36, _ALNUM),
    "github fine": ("github_" + "pat_", 82, _ALNUM),
    "gitlab": ("gl" + "pat-", 20, _ALNUM),
    "gitlab runner": ("gl" + "rt-", 20, _ALNUM),
    "slack bot": ("xo" + "xb-", 40, _ALNUM),
    "slack user": ("xo" + "xp-", 40, _ALNUM),
    "slack app": ("xa" + "pp-1-", 40, _ALNUM),
    "slack hook": ("https://hooks.slack" + ".com/services/T", 40, _ALNUM),
    "google": ("AI" + "za", 35, _ALNUM),
    "google oauth": ("GOC" + "SPX-", 28, _ALNUM),
    "stripe live": ("sk_" + "live_", 24, _ALNUM),
    "stripe restricted": ("rk_" + "live_", 24, _ALNUM),
    "stripe test": ("sk_" + "test_", 24, _ALNUM),
    "stripe hook": ("wh" + "sec_", 32, _ALNUM),
    "npm": ("np" + "m_", 36, _ALNUM),
    "pypi": ("py" + "pi-AgEIcHlwaS5vcmc", 80, _ALNUM),
    "rubygems": ("ruby" + "gems_", 48, _HEX),
    "openai": ("s" + "k-", 48, _ALNUM),
    "openai project": ("s" + "k-proj-", 60, _ALNUM),
    "anthropic": ("s" + "k-ant-api03-", 90, _ALNUM),
    "hugging face": ("h" + "f_", 34, _ALNUM),
    "groq": ("gs" + "k_", 52, _ALNUM),
    "sendgrid": ("S" + "G.", 22, _ALNUM),
    "twilio": ("S" + "K", 32, _HEX),
    "mailgun": ("ke" + "y-", 32, _HEX),
    "shopify": ("shp" + "at_", 32, _HEX),
    "digitalocean": ("do" + "p_v1_", 64, _HEX),
    "vault": ("hv" + "s.", 40, _ALNUM),
    "databricks": ("da" + "pi", 32, _HEX),
    "docker": ("dck" + "r_pat_", 27, _ALNUM),
    "linear": ("li" + "n_api_", 40, _ALNUM),
    "notion": ("nt" + "n_", 46, _ALNUM),
    "pulumi": ("pu" + "l-", 40, _HEX),
    "new relic": ("NR" + "AK-", 27, _UPPER),
    "grafana": ("gl" + "sa_", 40, _ALNUM),
    "sentry": ("snt" + "rys_", 60, _ALNUM),
    "figma": ("fi" + "gd_", 40, _ALNUM),
    "atlassian": ("AT" + "ATT3", 60, _ALNUM),
    "age": ("AGE-SECRET" + "-KEY-1", 58, _UPPER),
    "supabase": ("sb" + "p_", 40, _HEX),
}
"""Prefix, number of letters behind it, and which."""

_LINES = {
    "password": ('password = "{}"', "hunter2"),
    "password in json": ('    "password": "{}",', "S3cure!pass"),
    "password by item": ("config['DB_PASSWORD'] = '{}'", "wombat#19"),
    "password compared": ('if password == "{}":', "letmein99"),
    "password of words": ('db_passwd = "{}"', "correcthorsebattery"),
    "passphrase": ('passphrase = "{}"', "correct horse battery staple"),
    "password argument": ('connect(user="root", password="{}")', "t0psecret"),
    "password annotated": ('password: str = "{}"', "tr0ub4dor&3"),
    "password default": ('os.getenv("DB_PASSWORD", "{}")', "fallb4ck!"),
    "password open": ("password = '{}", "n0tclosed"),
    "secret key": ('SECRET_KEY = "{}"', "django-insecure-" + _drawn("django", 40)),
    "api key": ("const apiKey = '{}';", _drawn("api", 20)),
    "api key by method": ('client.setApiKey("{}");', _drawn("method", 20)),
    "client secret": ('clientSecret := "{}"', _drawn("client", 30)),
    "access token": ('access_token => "{}"', _drawn("access", 30)),
    "aws secret": ('aws_secret_access_key = "{}"', _drawn("aws", 40, _ALNUM + "/+")),
    "url": ('DSN = "postgres://admin:{}@db.internal/app"', "pgpass99x"),
    "bearer": ('headers = {{"Authorization": "Bearer {}"}}', _drawn("bearer", 32)),
    "basic": ('headers = {{"Authorization": "Basic {}=="}}', _drawn("basic", 30)),
    "hex key": ('ENCRYPTION_KEY = "{}"', _drawn("hex", 64, _HEX)),
    "random beside a key": ('signing(key, "{}")', _drawn("beside", 44)),
    "account key": ('"DefaultEndpointsProtocol=https;AccountKey={}=="', _drawn("azure", 86)),
}

_JWT = "ey" + "J" + _drawn("head", 30) + ".ey" + "J" + _drawn("body", 60) + "." + _drawn("sign", 43)

_KEYS = {"": "pem", "RSA ": "rsa pem", "EC ": "ec pem", "OPENSSH ": "openssh pem"}


def planted() -> dict[str, tuple[str, str]]:
    """For each kind: lines of code, and the secret in them, the last line of it if it has more."""
    found = {}
    for name, (prefix, count, letters) in _TOKENS.items():
        secret = prefix + _drawn(name, count, letters)
        if name == "sendgrid":
            secret += "." + _drawn("grid", 43)
        found[name] = (f'value = call("{secret}")', secret.rpartition("/")[2])
    for name, (line, secret) in _LINES.items():
        found[name] = (line.format(secret), secret)
    found["jwt"] = (f'value = "{_JWT}"', _JWT)
    for kind, name in _KEYS.items():
        body = [_drawn(f"{name} {n}", 64, _ALNUM + "+/") for n in range(4)]
        begin, end = (f"-----{word} {kind}PRIVATE KEY-----" for word in ("BEGIN", "END"))
        found[name] = ("\n".join(['KEY = """' + begin, *body, end + '"""']), body[-1])
    return found
