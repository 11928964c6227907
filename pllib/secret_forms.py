"""What secrets look like: one table, of which each look for them is made.

A text is searched for a form only where it has one of the form's hints, and a frame is decoded only
where its bytes have one.  Most tokens are a prefix and a long word, so that frames are searched for
long words first, and for prefixes in those.

Source: "Understanding unique ID prefixes" (AWS), and the formats that GitHub, GitLab, Slack,
Hugging Face, Stripe and others document; the rules of gitleaks 8.30 (MIT) for others; RFC 6265
(cookie), 6750 (bearer), 7468 (PEM), 7519 (JWT), 3986 (userinfo in URLs); AWS Signature Version 4
and Azure shared access signatures for signed URLs.
"""

from __future__ import annotations

import re
from functools import cached_property

LONG_WORD = 20
"""Letters, digits, - and _ that each token has one after the other, prefix included."""
HAS_LONG_WORD = re.compile(f"[A-Za-z0-9_-]{{{LONG_WORD}}}")
IN_LONG_WORD = re.compile(f"[A-Za-z0-9_-]{{{LONG_WORD},}}".encode())


class Form:
    """A kind of secret: what group 1 of its regular expression matches, else all of it."""

    def __init__(
        self,
        name: str,
        hints: str,
        regex: str,
        *,
        flags: int = 0,
        before: str = "",
        near: str = "",
    ) -> None:
        """Describe it.

        Args:
            hints: Words of which each text with such a secret has one.
            before: What is looked at before the secret; no bytes of a frame are.
            near: What begins with a hint, in a frame that has such a secret; empty for anything.
        """
        self.name = name
        self.hints = tuple(hints.split())
        self.near = near
        self.source, self._flags, self._before = regex, flags, before

    @cached_property
    def regex(self) -> re.Pattern[str]:
        return re.compile(self._before + self.source, self._flags)

    @cached_property
    def in_bytes(self) -> re.Pattern[bytes]:
        return re.compile(self.source.encode(), self._flags)


def _token(name: str, prefixes: str, rest: str) -> Form:
    """Describe a token by its prefixes and what follows them."""
    either = "|".join(map(re.escape, prefixes.split()))
    return Form(name, prefixes, f"(?:{either}){rest}", before="(?<![A-Za-z0-9])")


_END = "(?![A-Za-z0-9])"
_WORD, _HEX = "[A-Za-z0-9_-]", "[0-9a-fA-F]"

TOKENS = (
    _token("aws_access_key_id", "AKIA ASIA ABIA ACCA", "[A-Z2-7]{16}" + _END),
    _token("aws_access_key_id", "A3T", "[A-Z0-9][A-Z2-7]{16}" + _END),
    _token("aws_bedrock_key", "ABSK", "[A-Za-z0-9+/]{109,269}={0,2}"),
    _token("aws_bedrock_key", "bedrock-api-key-", "[A-Za-z0-9+/=]{20,4000}"),
    _token("alibaba_access_key_id", "LTAI", "[A-Za-z0-9]{20}" + _END),
    _token("github_token", "ghp_ gho_ ghu_ ghs_ ghr_", "[A-Za-z0-9]{36,255}"),
    _token("github_token", "github_pat_", "[A-Za-z0-9_]{22,255}"),
    _token(
        "gitlab_token",
        "glpat- gldt- glrt- glcbt- glffct- glft- glimt- glagent- gloas- glptt- glsoat- GR1348941",
        f"{_WORD}{{20,300}}(?:[.][a-z0-9]{{2,16}}){{0,2}}",
    ),
    _token("huggingface_token", "hf_ api_org_", "[A-Za-z0-9]{34}" + _END),
    _token("slack_token", "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs-", "[A-Za-z0-9-]{15,250}"),
    _token("slack_token", "xapp-", r"\d-[A-Za-z0-9-]{15,250}"),
    _token(
        "api_key",
        "sk-",
        r"(?:[a-z]{2,12}\d{0,2}-){0,4}(?=[A-Za-z_-]{0,100}\d)[A-Za-z0-9_-]{20,300}"
    ),
    _token("api_key", "pplx- gsk_ xai- r8_ pcsk_ tvly- rpa_ esecret_", f"{_WORD}{{30,200}}{_END}"),
    _token("nvidia_api_key", "nvapi-", f"{_WORD}{{40,100}}"),
    _token("langsmith_key", "lsv2_pt_ lsv2_sk_", "[A-Za-z0-9_]{30,100}"),
    _token("wandb_key", "wandb_v1_", f"{_WORD}{{30,200}}"),
    _token("google_api_key", "AIza", f"{_WORD}{{35}}{_END}"),
    _token("google_oauth_token", "ya29. GOCSPX-", f"{_WORD}{{20,1000}}"),
    _token("pypi_token", "pypi-AgE", f"{_WORD}{{50,1000}}"),
    _token("npm_token", "npm_", "[A-Za-z0-9]{36}" + _END),
    _token("rubygems_token", "rubygems_", f"{_HEX}{{48}}{_END}"),
    _token("clojars_token", "CLOJARS_ clojars_", "[A-Za-z0-9]{60}"),
    _token("docker_token", "dckr_pat_ dckr_oat_", f"{_WORD}{{20,100}}"),
    _token(
        "stripe_key",
        "sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_",
        "[A-Za-z0-9]{12,99}",
    ),
    _token("stripe_key", "whsec_", "[A-Za-z0-9+/]{24,99}={0,2}"),
    _token("square_token", "sq0atp- sq0csp- EAAA", f"{_WORD}{{22,60}}{_END}"),
    _token("sendgrid_key", "SG.", f"{_WORD}{{16,32}}[.]{_WORD}{{32,64}}"),
    _token("sendgrid_key", "SG.", "[A-Za-z0-9=_.-]{66}"),
    _token("gitlab_token", "_gitlab_session=", "[0-9a-z]{32}"),
    _token("sendinblue_key", "xkeysib-", f"{_HEX}{{64}}-[A-Za-z0-9]{{16}}"),
    _token("twilio_key", "SK AC", f"{_HEX}{{32}}{_END}"),
    _token("mailgun_key", "key- pubkey-", "[0-9a-f]{32}" + _END),
    Form("mailchimp_key", "-us", "[0-9a-f]{32}-us[0-9]{1,2}" + _END, before="(?<![0-9a-f])"),
    Form(
        "telegram_token", ":AA", f"[0-9]{{8,10}}:AA{_WORD}{{32,33}}(?!{_WORD})", before="(?<![0-9])"
    ),
    _token(
        "discord_token", "MD MT Mj Mz ND NT Nj Nz OD OT",
        f"{_WORD}{{22,24}}[.]{_WORD}{{6}}[.]{_WORD}{{27,38}}",
    ),
    Form(
        "azure_client_secret", "Q~",
        "[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~-])",
        before="(?<![A-Za-z0-9_~.-])",
    ),
    _token("shopify_token", "shpat_ shpca_ shppa_ shpss_", f"{_HEX}{{32}}"),
    _token("digitalocean_token", "doo_v1_ dop_v1_ dor_v1_", f"{_HEX}{{64}}"),
    _token("databricks_token", "dapi", f"[0-9a-f]{{32}}(?:-[0-9])?{_END}"),
    _token(
        "doppler_token", "dp.pt. dp.st. dp.ct. dp.sa.", "(?:[a-z0-9_-]{1,30}[.])?[A-Za-z0-9]{40,44}"
    ),
    _token("dynatrace_token", "dt0c01.", "[A-Za-z0-9]{24}[.][A-Za-z0-9]{64}"),
    _token("grafana_token", "glc_ glsa_", "[A-Za-z0-9+/_]{32,400}={0,3}"),
    _token("grafana_token", "eyJrIjoi", "[A-Za-z0-9]{70,400}={0,3}"),
    _token("vault_token", "hvs. hvb.", f"{_WORD}{{24,300}}"),
    _token("vault_token", "s.", "[A-Za-z0-9]{24}" + _END),
    Form("terraform_token", ".atlasv1.", r"[A-Za-z0-9]{14}[.]atlasv1[.][A-Za-z0-9=_-]{60,70}"),
    _token("pulumi_token", "pul-", "[0-9a-f]{40}" + _END),
    _token("planetscale_token", "pscale_tkn_ pscale_oauth_ pscale_pw_", "[A-Za-z0-9_=-]{32,64}"),
    _token("postman_key", "PMAK-", f"{_HEX}{{24}}-{_HEX}{{34}}"),
    _token("newrelic_key", "NRAK- NRII- NRJS- NRRA-", "[A-Za-z0-9-]{19,42}"),
    _token("sentry_token", "sntryu_ sntrys_", "[A-Za-z0-9+/=_]{40,500}"),
    _token("sourcegraph_token", "sgp_", f"(?:(?:{_HEX}{{16}}|local)_)?{_HEX}{{40}}"),
    _token("atlassian_token", "ATATT3 ATCTT3 ATBB", f"{_WORD}{{20,300}}(?:=[0-9A-F]{{8}})?"),
    _token("linear_key", "lin_api_", "[A-Za-z0-9]{40}"),
    _token("notion_token", "ntn_", "[0-9]{11}[A-Za-z0-9]{35}"),
    _token("prefect_token", "pnu_ pnb_", "[A-Za-z0-9]{36}"),
    _token("readme_key", "rdme_", "[A-Za-z0-9]{70}"),
    _token("sonar_token", "squ_ sqp_ sqa_", "[A-Za-z0-9]{40}"),
    _token("typeform_token", "tfp_", "[A-Za-z0-9_=-]{59}"),
    _token("duffel_token", "duffel_test_ duffel_live_", "[A-Za-z0-9_=-]{43}"),
    _token("shippo_token", "shippo_live_ shippo_test_", f"{_HEX}{{40}}"),
    _token(
        "flutterwave_key", "FLWSECK_TEST- FLWSECK- FLWPUBK_TEST- FLWPUBK-", "[A-Za-z0-9]{12,40}"
    ),
    _token("easypost_key", "EZAK EZTK", "[A-Za-z0-9]{54}" + _END),
    _token("frameio_token", "fio-u-", "[A-Za-z0-9_=-]{64}"),
    _token("flyio_token", "fo1_ fm1a_ fm1r_ fm2_", "[A-Za-z0-9+/_-]{43,4000}={0,3}"),
    _token("infracost_key", "ico-", "[A-Za-z0-9]{32}" + _END),
    _token("intra42_secret", "s-s4t2ud- s-s4t2af-", f"{_HEX}{{64}}"),
    _token("scalingo_token", "tk-us-", f"{_WORD}{{48}}"),
    _token("heroku_key", "HRKU-AA", f"{_WORD}{{58}}"),
    _token("settlemint_token", "sm_aat_ sm_pat_ sm_sat_", "[A-Za-z0-9]{16}" + _END),
    _token("onepassword_token", "ops_eyJ", "[A-Za-z0-9+/]{100,4000}={0,3}"),
    Form(
        "onepassword_key", "A3-",
        "A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}" + _END,
        before="(?<![A-Za-z0-9])",
    ),
    _token("age_key", "AGE-SECRET-KEY-1", "[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    _token("artifactory_key", "AKCp", "[A-Za-z0-9]{69}" + _END),
    _token("artifactory_key", "AKC", "[A-Za-z0-9]{17,100}" + _END),
    _token("artifactory_key", "cmVmd", "[A-Za-z0-9]{59}" + _END),
    _token("adobe_secret", "p8e-", "[A-Za-z0-9]{32}" + _END),
    _token("harness_key", "pat. sat.", f"{_WORD}{{22}}[.][A-Za-z0-9]{{24}}[.][A-Za-z0-9]{{20}}"),
    _token("clickhouse_key", "4b1d", "[A-Za-z0-9]{38}" + _END),
    _token("cloudflare_key", "v1.0-", "[0-9a-f]{24}-[0-9a-f]{146}"),
    _token("openshift_token", "sha256~", f"{_WORD}{{43}}(?!{_WORD})"),
    _token("octopus_key", "API-", "[A-Z0-9]{26}" + _END),
    Form(
        "facebook_token", "| %", r"\d{15,16}[|%][A-Za-z0-9_-]{27,40}" + _END, before=r"(?<!\d)"
    ),
    _token("facebook_token", "EAAM EAAC", "[A-Za-z0-9]{100,500}"),
    _token("mapbox_token", "pk. sk.", f"{_WORD}{{60,200}}[.]{_WORD}{{20,50}}"),
    Form("maxmind_key", "_mmk", "[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk" + _END),
    _token("figma_token", "figd_", f"{_WORD}{{40}}"),
    _token(
        "plaid_token", "access-sandbox- access-development- access-production-", "[0-9a-f-]{36}"
    ),
    _token("yandex_token", "AQVN", f"{_WORD}{{35,38}}{_END}"),
    _token("yandex_token", "t1.", "[A-Za-z0-9_-]{1,400}={0,2}[.][A-Za-z0-9_-]{86}={0,2}"),
    _token("dropbox_token", "sl.", f"{_WORD}{{130,152}}"),
    _token(
        "jwt", "ey",
        r"[A-Za-z0-9][A-Za-z0-9_-]{17,4000}\.ey[A-Za-z0-9_/-]{9,8000}\.[A-Za-z0-9_/-]{8,2000}={0,2}",
    ),
    _token("jwt", "ZXlK", "[A-Za-z0-9+/_-]{60,8000}={0,2}"),
)  # fmt: skip
"""What has a word of `LONG_WORD` letters in it; its hints count as they are written."""

PRIVATE_KEY = Form(
    "private_key", "private key",
    r"-----BEGIN[A-Z0-9 _-]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?!-----END )[\s\S])*(?:-----END [A-Z0-9 ]{0,60}-----)?",
)  # fmt: skip
COOKIE = Form(
    "cookie", "cookie",
    r"\b(?:Set-)?Cookie[\"']?\s{0,4}:\s{0,4}[\"']?([^\s=\"']{1,100}=[^\n\"']{1,4000})",
    flags=re.I,
)  # fmt: skip
LOGIN = Form(
    "password", "-u -user -auth -login",
    r"(?<!\S)(?:-u|--(?:proxy-)?user|--(?:basic-|http-)?auth|--login)(?:[ \t]{1,3}|=)[\"']?"
    r"[\w.@%+\\-]{1,100}:[\"']?((?!\d{1,5}(?!\S))[^\s\"'/~.:\[$][^\s\"']{0,400})",
    near=r"-(?:u|user|auth|login)(?:[\s=\"'\xa0-\xbf]|\xd9[\x00-\xff]|\xda[\x00-\xff]{2})[^\s:/]{1,104}:",
)  # fmt: skip
"""Options whose values are ``USER:PASSWORD``; not what is ids, ports, folders or URLs."""
_USERINFO = r"://[^\s/:@?#\"'<>]{0,400}(?::[^\s/@\"'<>]{1,400})?@"
STRUCTURES = (
    Form(
        "slack_webhook", "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/_-]{20,200})",
    ),
    Form(
        "webhook", "/api/webhooks/ .webhook.office.com/",
        r"(?:discord(?:app)?\.com/api/webhooks|\.webhook\.office\.com/webhookb2)/([A-Za-z0-9@/_-]{20,400})",
    ),
    Form(
        "bearer", "bearer", r"\bBearer\s{1,4}((?=[^\s\d]{0,4000}\d)[A-Za-z0-9._~+/=-]{16,4000})",
        flags=re.I, near=r"bearer\s{1,4}\S{16}",
    ),
    Form(
        "authorization", "authorization",
        r"\bAuthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:Basic|Token|Digest|ApiKey)\s{1,4}"
        r"([A-Za-z0-9._~+/=-]{6,4000})",
        flags=re.I,
    ),
    Form(
        "url_password", "://",
        r"(?<![\w+.-])[a-z][a-z0-9+.-]{1,20}://[^\s/:@?#\"'<>]{0,200}:"
        r"((?!\[redacted:)[^\s/@\"'<>]{1,400})@",
        flags=re.I, near=_USERINFO,
    ),
    Form(
        "url_password", "://",
        r"(?<![\w+.-])https?://((?=[A-Za-z_.~-]{0,400}\d)[A-Za-z0-9_.~-]{20,400})@",
        flags=re.I, near=_USERINFO,
    ),
    Form(
        "url_signature", "sig= signature= accesskeyid= accessid= credential= token=",
        r"[?&;](?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|sig|signature|access_token|"
        r"auth_token|AWSAccessKeyId|GoogleAccessId)=((?!\[redacted:)[^\s&;#\"'<>\[]{4,4000})",
        flags=re.I, near=r"[a-z]*=\S{4}",
    ),
)  # fmt: skip
"""What has signs around it; its hints are in small letters."""
