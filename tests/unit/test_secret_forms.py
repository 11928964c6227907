"""Each form of the table is found by all looks that are made of it; plain configurations stay."""

from __future__ import annotations

import random

import pytest
from samples import BY_PLUGIN, sample

from pllib.frame import frame_of
from pllib.records import Context, Signature, Used, encode
from pllib.redaction import Redactor, redact
from pllib.secret_forms import HAS_LONG_WORD, TOKENS, Form
from pllib.sweeping import Sweeper
from pllib.values import encode_list

NO_SIGNS = str.maketrans("+/=", "abc")
NOT_SECRETS = {"Base64 High Entropy String", "Hex High Entropy String", "Public IP (ipv4)"}
"""Digests, commits and hosts look like these: they are recorded on purpose."""


def _payload(*values: object) -> bytes:
    context = Context("ab" * 16, 0, 0, 1, "h", 1, "u", "p.py", "p", "w", 1)
    names = tuple(f"v{n}" for n in range(len(values)))
    records = (Signature(0, "run", "w", names), Used(0, 0, 0, encode_list(list(values))))
    return frame_of(b"1" * 16, 0, [encode(context), *map(encode, records)]).payload


def _samples(form: Form) -> list[str]:
    """Return texts of a form; of those with base64's signs only most are found."""
    signs = NO_SIGNS if "=" not in form.hints[0] else {}
    made = [sample(form.source, random.Random(nth)).translate(signs) for nth in range(6)]
    return [text for text in made if form.regex.search(text) and HAS_LONG_WORD.search(text)]


@pytest.mark.parametrize("form", TOKENS, ids=lambda form: f"{form.name}-{form.hints[0]}")
def test_a_form_is_found_wherever_it_stands(form: Form) -> None:
    """Also right behind a text's length, which looks like a letter (P)."""
    texts = _samples(form)
    assert len(texts) > 2
    for text in texts:
        for around in ("{}", "x={}, please"):
            assert text not in redact(around.format(text)), text
        for rest in ("", " " * (80 - len(text))):
            assert text.encode() not in Sweeper(Redactor()).sweep(_payload(text + rest)), text


@pytest.mark.parametrize("name", BY_PLUGIN)
def test_what_plugins_of_detect_secrets_find_is_found(name: str) -> None:
    """`benchmarks.recall` shows that its plugins find these."""
    swept = Sweeper(Redactor()).sweep(_payload(BY_PLUGIN[name]))
    assert (redact(BY_PLUGIN[name]) == BY_PLUGIN[name]) == (name in NOT_SECRETS)
    assert (BY_PLUGIN[name].encode() in swept) == (name in NOT_SECRETS)


VENDORS = ("adafruit", "kaggle", "mapbox", "openai", "new_relic", "telegram", "comet")
TEMPLATES = ('{i}_api_token = "{s}"', "{i}Token={s}", '{{"{i}_key": "{s}"}}', "{I}_TOKEN: {s}")


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_vendors_name_may_be_any(vendor: str, template: str) -> None:
    secret = sample("[a-z0-9]{32}", random.Random(vendor))
    text = template.format(i=vendor, I=vendor.upper(), s=secret)
    assert secret not in redact(text)
    assert secret.encode() not in Sweeper(Redactor()).sweep(_payload(text))
    named = {f"{vendor}_token": secret, f"{vendor}_key": secret}
    assert secret.encode() not in Sweeper(Redactor()).sweep(_payload(named))


TOKENIZER = {
    "add_bos_token": True, "add_prefix_space": False, "additional_special_tokens": ["<|im_end|>"],
    "added_tokens_decoder": {"0": {"content": "<unk>", "special": True}, "1": {"content": "a1b2"}},
    "bos_token": "<s>", "cls_token": "[CLS]", "eos_token": "</s>", "mask_token": "<mask>",
    "model_max_length": 512, "pad_token": "[PAD]", "pad_token_id": 0, "sep_token": "[SEP]",
    "tokenizer_class": "BertTokenizer", "unk_token": "[UNK]", "decoder_start_token_id": 2,
    "image_token": "<image>", "boi_token": "begin_of_image1", "tokens": ["the", "cat3"],
}  # fmt: skip
TRAINING = {
    "hub_token": None, "push_to_hub_token": None, "hub_private_repo": False, "use_auth_token": True,
    "dataloader_pin_memory": True, "max_new_tokens": 20, "num_tokens": 10**9, "pass": 2,
    "n_passes": 3, "forward_pass": "train", "label_names": ["key", "value"], "metric_key": "loss",
    "metric_key_prefix": "eval", "primary_key": "id", "sort_keys": True, "cookie": False,
    "tokenizer_name": "bert-base-uncased", "token_dropout": 0.1, "rng_key": [0, 42],
    "key": "9f86d081884c7d659a2feaa0c55ad015", "run_name": "llama-2-7b-chat-hf_finetuned_on_alpaca",
    "ddp_find_unused_parameters": False, "cache_key": "7d793037a0760186574b0282f2f435e7",
    "sha": "7d793037a0760186574b0282f2f435e7f2f435e7", "id": "123e4567-e89b-12d3-a456-426614174000",
    "state_key": "epoch_0012_step_000345_optimizer_state", "input_tokens": "some text",
    "pw_chi2": 0.5, "ecut": "pw.x -in scf.in", "pin": None, "spin": "up", "skip": "no",
}  # fmt: skip
COMMAND = (
    "srun --ntasks=4 --export=ALL,OMP_NUM_THREADS=8 --cpu-bind=cores singularity exec --nv "
    "--bind /data:/data image.sif torchrun --nnodes 2 --rdzv-id 4242 --rdzv-endpoint n1:29500 "
    "train.py --tokenizer gpt2 --max-tokens 512 --pad-token '[PAD]' --low-pass 0.1 --n-pass 3 "
    "--key-dim 64 --use-auth-token --pin-memory --user ada --seed 1 -u 1000:1000 --auth basic"
)
ENVIRONMENT = (
    "SLURM_JOB_ID=4242 SLURM_JOB_NAME=train SLURM_NODELIST=n[1-4] SLURM_TASKS_PER_NODE=4(x2)\n"
    "SLURM_SUBMIT_DIR=/home/ada/work PWD=/home/ada/work OLDPWD=/home/ada KRB5CCNAME=FILE:/tmp/k\n"
    "SLURM_CONF=/etc/slurm.conf LOADEDMODULES=gcc/12:cuda/12 PATH=/usr/bin:/bin LC_ALL=C.UTF-8\n"
    "CUDA_VISIBLE_DEVICES=GPU-8932f937-d72c-4106-c12f-20bd9faed9f6 SSH_AUTH_SOCK=/tmp/x\n"
    "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus TOKENIZERS_PARALLELISM=0"
)


@pytest.mark.parametrize("value", [TOKENIZER, TRAINING, COMMAND, ENVIRONMENT, COMMAND.split()])
def test_plain_configurations_stay(value: object) -> None:
    payload = _payload(value)
    assert Sweeper(Redactor()).sweep(payload) == payload
    assert isinstance(value, dict | list) or redact(str(value)) == value
