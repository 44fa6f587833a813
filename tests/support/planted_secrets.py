"""Made-up secrets of every kind, each in a line of code as people write it.

They are drawn anew from a seed, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import re
import string
from random import Random

_ALNUM = string.ascii_letters + string.digits
_LOWER = string.ascii_lowercase + string.digits
_UPPER = string.ascii_uppercase + string.digits
_HEX = "0123456789abcdef"


def _drawn(name: str, count: int, letters: str = _ALNUM) -> str:
    """So many random letters, the same for the same name; among the first ones is a digit."""
    random = Random(f"{name} {count}")
    text = "".join(random.choice(letters) for _ in range(count))
    return text[:2] + "7" + text[3:]


_TOKENS = {
    "AWS access key id": ("AKIA{U16}", "ASIA{U16}"),
    "AWS Bedrock key": ("ABSK{a110}==",),
    "GitHub token": ("ghp_{a36}", "gho_{a36}", "ghs_{a36}"),
    "GitHub fine-grained token": ("github_pat_{a82}",),
    "GitLab token": ("glpat-{a20}", "glrt-t1_{a20}"),
    "GitLab runner token": ("GR1348941{a20}",),
    "Slack token": ("xoxb-{a40}", "xoxp-{a40}", "xoxe.xoxp-1-{a40}"),
    "Slack app token": ("xapp-1-{a40}",),
    "Slack webhook": ("https://hooks.slack.com/services/T{a40}",),
    "Google API key": ("AIza{a35}",),
    "Google OAuth secret": ("GOCSPX-{a28}",),
    "Google OAuth token": ("ya29.{a60}",),
    "Stripe key": ("sk_live_{a24}", "rk_live_{a24}", "sk_test_{a24}"),
    "Stripe webhook secret": ("whsec_{a32}",),
    "npm token": ("npm_{a36}",),
    "PyPI token": ("pypi-AgEIcHlwaS5vcmc{a80}",),
    "RubyGems key": ("rubygems_{h48}",),
    "Clojars token": ("CLOJARS_{l60}",),
    "crates.io token": ("cio{a32}",),
    "Anthropic key": ("sk-ant-api03-{a90}",),
    "OpenRouter key": ("sk-or-v1-{h64}",),
    "OpenAI key": ("sk-proj-{a60}",),
    "OpenAI old key": ("sk-{a48}",),
    "Hugging Face token": ("hf_{a34}", "api_org_{a34}"),
    "Groq key": ("gsk_{a52}",),
    "xAI key": ("xai-{a80}",),
    "Perplexity key": ("pplx-{a48}",),
    "Replicate token": ("r8_{a37}",),
    "JSON web token": ("eyJ{a30}.eyJ{a60}.{a43}",),
    "SendGrid key": ("SG.{a22}.{a43}",),
    "Twilio key": ("SK{h32}", "AC{h32}"),
    "Mailchimp key": ("{h32}-us12",),
    "Mailgun key": ("key-{h32}",),
    "Brevo key": ("xkeysib-{h64}-{a16}",),
    "Telegram bot token": ("{d10}:AA{a33}",),
    "Discord bot token": ("M{a25}.{a6}.{a38}",),
    "Discord webhook": ("https://discord.com/api/webhooks/{d18}/{a68}",),
    "Teams webhook": ("https://firm.webhook.office.com/webhookb2/{h36}@{h36}",),
    "Square token": ("sq0atp-{a22}", "EAAA{a60}"),
    "Shopify token": ("shpat_{h32}",),
    "DigitalOcean token": ("dop_v1_{h64}",),
    "HashiCorp Vault token": ("hvs.{a40}",),
    "Terraform token": ("{a14}.atlasv1.{a67}",),
    "Azure client secret": ("{a3}8Q~{a34}",),
    "Azure account key": ("AccountKey={a86}==",),
    "Azure shared access key": ("SharedAccessKey={a43}=",),
    "Azure signature": ("sig={a43}%3D",),
    "Databricks token": ("dapi{h32}",),
    "Docker token": ("dckr_pat_{a27}",),
    "Doppler token": ("dp.pt.{a43}",),
    "Linear key": ("lin_api_{a40}",),
    "Notion secret": ("ntn_{a46}",),
    "Postman key": ("PMAK-{h24}-{h34}",),
    "Pulumi token": ("pul-{h40}",),
    "New Relic key": ("NRAK-{U27}",),
    "Grafana token": ("glsa_{a40}",),
    "Sentry token": ("sntrys_{a60}",),
    "Figma token": ("figd_{a40}",),
    "Airtable token": ("pat{a14}.{h64}",),
    "Atlassian token": ("ATATT3{a60}",),
    "Cloudflare CA key": ("v1.0-{h24}-{h146}",),
    "Facebook token": ("EAAC{a100}",),
    "Fly token": ("fo1_{a43}", "FlyV1 fm2_{a80}"),
    "Heroku key": ("HRKU-{h36}",),
    "PlanetScale token": ("pscale_tkn_{a43}",),
    "Supabase token": ("sbp_{h40}", "sb_secret_{a36}"),
    "Netlify token": ("nfp_{a36}",),
    "age secret key": ("AGE-SECRET-KEY-1{U58}",),
    "Artifactory key": ("AKCp{a69}", "cmVmdGtu{a56}"),
    "Dynatrace token": ("dt0c01.{U24}.{U64}",),
    "1Password token": ("ops_eyJ{a120}", "A3-{U6}-{U6}-{U5}-{U5}-{U5}-{U5}"),
    "EasyPost key": ("EZAK{a54}", "EZTK{a54}"),
    "Contentful token": ("CFPAT-{a43}",),
    "Adafruit key": ("aio_{a28}",),
    "Typeform token": ("tfp_{a59}",),
    "Sourcegraph token": ("sgp_{h40}", "sgp_{h16}_{h40}"),
    "Plaid token": ("access-sandbox-{h36}",),
    "password hash": ("$2b$12${a53}", "$argon2id$v=19${a60}", "$6${a80}"),
}
"""Forms of the shapes by their names; ``{a36}`` stands for 36 random letters and digits."""
_LETTERS = {"a": _ALNUM, "U": _UPPER, "h": _HEX, "l": _LOWER, "d": string.digits}

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

_KEYS = {"": "pem", "RSA ": "rsa pem", "EC ": "ec pem", "OPENSSH ": "openssh pem"}


def tokens() -> dict[str, list[str]]:
    """Made-up secrets of each shape, by its name."""

    def draw(field: re.Match[str]) -> str:
        return _drawn(f"{field.string} {field.start()}", int(field[2]), _LETTERS[field[1]])

    return {
        shape: [re.sub(r"\{(\w)(\d+)\}", draw, form) for form in forms]
        for shape, forms in _TOKENS.items()
    }


def planted() -> dict[str, tuple[str, str]]:
    """For each kind: lines of code, and the secret in them, the last line of it if it has more."""
    found = {}
    for shape, forms in tokens().items():
        for secret in forms:
            name = shape if secret == forms[0] else f"{shape} {forms.index(secret)}"
            found[name] = (f'value = call("{secret}")', secret.rpartition("/")[2])
    for name, (line, secret) in _LINES.items():
        found[name] = (line.format(secret), secret)
    for kind, name in _KEYS.items():
        body = [_drawn(f"{name} {n}", 64, _ALNUM + "+/") for n in range(4)]
        begin, end = (f"-----{word} {kind}PRIVATE KEY-----" for word in ("BEGIN", "END"))
        found[name] = ("\n".join(['KEY = """' + begin, *body, end + '"""']), body[-1])
    return found
