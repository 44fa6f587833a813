r"""Shapes of secrets, as one table: whatever has one of them is masked, wherever it stands.

Each row is a regular expression of RE2 without groups; its whole match is the secret. The shapes
are those that the issuers document. Where they document none, they are those of two collections:
gitleaks (``config/gitleaks.toml``, MIT), detect-secrets (``detect_secrets/plugins``, Apache 2.0).
Their packages are not used: one is a program, the other imports an HTTP client.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SecretShape:
    """One row."""

    name: str
    regex: str


_W = r"[A-Za-z0-9_-]"

SHAPES = (
    # docs.aws.amazon.com/IAM, "unique identifiers"
    SecretShape("AWS access key id", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    SecretShape("AWS Bedrock key", r"\bABSK[A-Za-z0-9+/]{60,}={0,2}"),
    # github.blog/2021-04-05 (behind GitHub's new authentication token formats)
    SecretShape("GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{20,255}"),
    SecretShape("GitHub fine-grained token", r"\bgithub_pat_[A-Za-z0-9_]{22,255}"),
    # docs.gitlab.com/security/tokens, "token prefixes"
    SecretShape(
        "GitLab token",
        rf"\bgl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|wt|soat|ffct)-(?:t\d_)?{_W}{{16,}}",
    ),
    SecretShape("GitLab runner token", rf"\bGR1348941{_W}{{20,}}"),
    # api.slack.com/authentication/token-types
    SecretShape("Slack token", r"\bxox[abceoprs](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}"),
    SecretShape("Slack app token", r"\bxapp-\d-[A-Za-z0-9-]{10,}"),
    SecretShape("Slack webhook", r"\bhooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}"),
    # cloud.google.com/docs/authentication/api-keys; gitleaks
    SecretShape("Google API key", rf"\bAIza{_W}{{35}}"),
    SecretShape("Google OAuth secret", rf"\bGOCSPX-{_W}{{20,}}"),
    SecretShape("Google OAuth token", rf"\bya29\.{_W}{{20,}}"),
    # docs.stripe.com/keys
    SecretShape("Stripe key", r"\b[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,}"),
    SecretShape("Stripe webhook secret", r"\bwhsec_[A-Za-z0-9+/=]{24,}"),
    # docs.npmjs.com/about-access-tokens; warehouse.pypa.io/development/token-scanning
    SecretShape("npm token", r"\bnpm_[A-Za-z0-9]{30,}"),
    SecretShape("PyPI token", rf"\bpypi-{_W}{{40,}}"),
    SecretShape("RubyGems key", r"\brubygems_[a-f0-9]{48}"),
    SecretShape("Clojars token", r"\bCLOJARS_[a-z0-9]{60}"),
    SecretShape("crates.io token", r"\bcio[A-Za-z0-9]{32}\b"),
    # what the makers of language models issue (gitleaks; detect-secrets, openai.py)
    SecretShape("Anthropic key", rf"\bsk-ant-{_W}{{16,}}"),
    SecretShape("OpenRouter key", r"\bsk-or-v1-[a-f0-9]{32,}"),
    SecretShape("OpenAI key", rf"\bsk-(?:proj|svcacct|admin|None)-{_W}{{16,}}"),
    SecretShape("OpenAI old key", r"\bsk-[A-Za-z0-9]{20,}"),
    SecretShape("Hugging Face token", r"\b(?:hf_|api_org_)[A-Za-z0-9]{30,}"),
    SecretShape("Groq key", r"\bgsk_[A-Za-z0-9]{40,}"),
    SecretShape("xAI key", r"\bxai-[A-Za-z0-9]{60,}"),
    SecretShape("Perplexity key", r"\bpplx-[A-Za-z0-9]{40,}"),
    SecretShape("Replicate token", r"\br8_[A-Za-z0-9]{32,}"),
    # RFC 7519: a JSON object begins with {", which is eyJ in base64
    SecretShape("JSON web token", rf"\beyJ{_W}{{10,}}\.eyJ{_W}{{6,}}(?:\.{_W}*)?"),
    # gitleaks
    SecretShape("SendGrid key", rf"\bSG\.{_W}{{16,32}}\.{_W}{{32,64}}"),
    SecretShape("Twilio key", r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    SecretShape("Mailchimp key", r"\b[0-9a-f]{32}-us\d{1,2}\b"),
    SecretShape("Mailgun key", r"\bkey-[0-9a-f]{32}\b"),
    SecretShape("Brevo key", r"\bxkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    SecretShape("Telegram bot token", rf"\b\d{{8,10}}:AA{_W}{{33}}"),
    SecretShape("Discord bot token", rf"\b[MNO]{_W}{{23,27}}\.{_W}{{6}}\.{_W}{{27,40}}"),
    SecretShape("Discord webhook", rf"\bdiscord(?:app)?\.com/api/webhooks/\d+/{_W}{{30,}}"),
    SecretShape("Teams webhook", r"\bwebhook\.office\.com/webhookb2/[A-Za-z0-9@/-]{30,}"),
    SecretShape("Square token", rf"\b(?:sq0(?:atp|csp|idp)-|EAAA){_W}{{22,}}"),
    SecretShape("Shopify token", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    SecretShape("DigitalOcean token", r"\bdo[opr]_v1_[a-f0-9]{64}"),
    SecretShape("HashiCorp Vault token", rf"\bhv[sbr]\.{_W}{{24,}}"),
    SecretShape("Terraform token", rf"\b[A-Za-z0-9]{{14}}\.atlasv1\.{_W}{{60,}}"),
    SecretShape("Azure client secret", r"\b[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
    SecretShape("Azure account key", r"\bAccountKey=[A-Za-z0-9+/]{40,}={0,2}"),
    SecretShape("Azure shared access key", r"\bSharedAccessKey=[A-Za-z0-9+/]{40,}={0,2}"),
    SecretShape("Azure signature", r"\bsig=[A-Za-z0-9%]{40,}"),
    SecretShape("Databricks token", r"\bdapi[a-f0-9]{32}(?:-\d)?"),
    SecretShape("Docker token", rf"\bdckr_(?:pat|oat)_{_W}{{20,}}"),
    SecretShape("Doppler token", r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9.]{40,}"),
    SecretShape("Linear key", r"\blin_(?:api|oauth)_[A-Za-z0-9]{32,}"),
    SecretShape("Notion secret", r"\b(?:secret|ntn)_[A-Za-z0-9]{40,}"),
    SecretShape("Postman key", r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    SecretShape("Pulumi token", r"\bpul-[a-f0-9]{40}"),
    SecretShape("New Relic key", rf"\bNR(?:AK|II|JS|RA)-{_W}{{19,}}"),
    SecretShape("Grafana token", r"\bgl(?:c|sa)_[A-Za-z0-9+/_]{32,}={0,2}"),
    SecretShape("Sentry token", r"\bsntry[su]_[A-Za-z0-9+/=_]{32,}"),
    SecretShape("Figma token", rf"\bfig[dou][rh]?_{_W}{{32,}}"),
    SecretShape("Airtable token", r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    SecretShape("Atlassian token", rf"\bAT(?:ATT3|CTT3|BB){_W}{{24,}}(?:=[A-F0-9]{{8}})?"),
    SecretShape("Cloudflare CA key", r"\bv1\.0-[a-f0-9]{24}-[a-f0-9]{100,}"),
    SecretShape("Facebook token", r"\bEAA[MC][A-Za-z0-9]{80,}"),
    SecretShape(
        "Fly token", r"\bfo1_[A-Za-z0-9_-]{40,}|\bFlyV1 fm[12][ar]?_[A-Za-z0-9+/=,_-]{40,}"
    ),
    SecretShape("Heroku key", rf"\bHRKU-{_W}{{36,}}"),
    SecretShape("PlanetScale token", r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{30,}"),
    SecretShape("Supabase token", r"\bsb(?:p|_secret)_[A-Za-z0-9_-]{30,}"),
    SecretShape("Netlify token", r"\bnfp_[A-Za-z0-9]{36,}"),
    SecretShape("age secret key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{50,}"),
    SecretShape("Artifactory key", r"\b(?:AKCp[A-Za-z0-9]{60,}|cmVmdGtu[A-Za-z0-9]{50,})"),
    SecretShape("Dynatrace token", r"\bdt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    SecretShape(
        "1Password token", r"\bops_eyJ[A-Za-z0-9+/=]{60,}|\bA3-[A-Z0-9]{6}-(?:[A-Z0-9]{5,11}-?){5}"
    ),
    SecretShape("EasyPost key", r"\bEZ[AT]K[A-Za-z0-9]{54}"),
    SecretShape("Contentful token", rf"\bCFPAT-{_W}{{40,}}"),
    SecretShape("Adafruit key", r"\baio_[A-Za-z0-9]{28}"),
    SecretShape("Typeform token", rf"\btfp_{_W}{{40,}}"),
    SecretShape("Sourcegraph token", r"\bsgp_(?:[a-fA-F0-9]{16}_)?[a-fA-F0-9]{40}"),
    SecretShape("Plaid token", r"\baccess-(?:sandbox|development|production)-[0-9a-f-]{36}"),
    SecretShape("password hash", r"\$(?:2[abxy]|5|6|y|argon2id?)\$[A-Za-z0-9./$=,+]{30,}"),
)
