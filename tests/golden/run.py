#!/usr/bin/python3
"""Golden cases through the programs, as a user types them.

Runs every case of COVERAGE's kind `program` with --exact --trace, compares the
traces with mm-diff at each stage's tolerance, and ids and texts exactly.
Prints TAP.  Arguments: names of cases (FAMILY/CASE) to run; none: all.
"""
import glob
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.environ.get("MM_GOLDEN", HERE)
DT = {"F32": "<f4", "I64": "<i8", "I32": "<i4", "F64": "<f8", "I16": "<i2", "U8": "u1"}
count, failed = 0, 0


def point(name, ok, why=""):
    global count, failed
    count += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {count} - {name}", flush=True)
    for line in [] if ok else why.splitlines()[:12]:
        print("#", line)


def load(path):
    with open(path, "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        base = f.tell()
        out = {}
        for k, v in head.items():
            if k == "__metadata__":
                continue
            f.seek(base + v["data_offsets"][0])
            raw = f.read(v["data_offsets"][1] - v["data_offsets"][0])
            out[k] = np.frombuffer(raw, DT[v["dtype"]]).reshape(v["shape"])
    return out


def save(path, tensors):
    head, blobs, at = {}, [], 0
    for k, v in tensors.items():
        b = np.ascontiguousarray(v).tobytes()
        name = next(n for n, d in DT.items() if np.dtype(d) == v.dtype)
        head[k] = {"dtype": name, "shape": list(v.shape), "data_offsets": [at, at + len(b)]}
        at += len(b)
        blobs.append(b)
    j = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(j)) + j + b"".join(blobs))


def escape(s):
    return s.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


class Case:
    def __init__(self, name, tmp):
        self.name, self.tmp = name, tmp
        self.dir = os.path.join(GOLDEN, name)
        self.spec = json.load(open(self.path("case.json")))
        self.expected = load(self.path("expected.safetensors")) \
            if os.path.exists(self.path("expected.safetensors")) else {}
        j = self.path("expected.json")
        self.json = json.load(open(j)) if os.path.exists(j) else {}
        self.rtol = {s["name"]: s["rtol"] for s in self.spec.get("stages", [])}
        inp = self.path("inputs.safetensors")
        self.inputs = load(inp) if os.path.exists(inp) else {}
        m = self.path("model")
        files = os.listdir(m) if os.path.isdir(m) else []
        single = [f for f in files if f.endswith((".gguf", ".pt"))]
        self.model = os.path.join(m, single[0]) if len(single) == 1 and "config.json" not in files else m

    def path(self, *p):
        return os.path.join(self.dir, *p)

    def t(self, name):
        return os.path.join(self.tmp, name)

    def sh(self, what, command):
        """A pipeline under sh; stdout, or None with a failed point."""
        r = subprocess.run(["sh", "-c", command], capture_output=True, cwd=self.tmp)
        if r.returncode:
            point(f"{self.name} {what}", False, f"{command}\nstatus {r.returncode}\n" + r.stderr.decode())
            return None
        return r.stdout.decode()

    def diff(self, what, want, traces):
        """Stages want (trace name -> array, rtol) against trace files, by mm-diff."""
        allt = self.t("all.mmt")
        with open(allt, "wb") as f:
            for tr in traces:
                f.write(open(self.t(tr), "rb").read())
        by_rtol = {}
        for name, (array, rtol) in want.items():
            by_rtol.setdefault(rtol, {})[name] = array
        ok, why = True, ""
        for rtol, tensors in by_rtol.items():
            save(self.t("want.safetensors"), tensors)
            r = subprocess.run(["mm-diff", "-r", repr(float(rtol)), self.t("want.safetensors"), allt],
                               capture_output=True)
            if r.returncode:
                ok = False
                why += r.stdout.decode() + r.stderr.decode()
        point(f"{self.name} {what}: {len(want)} stages", ok and bool(want), why or "no stage")


LLAVA = {"features": "clip.select", "proj.1": "projector.0", "proj.act": "projector.act",
         "proj.2": "projector", "image.packed": "packed", "embeds": "embeddings",
         "pixel_values": "pixel_values", "lm.norm": "norm", "logits": "logits",
         "greedy.logits": "greedy.logits"}


def trace_name(stage, full):
    if stage.startswith("vision.hidden."):
        i = int(stage.rsplit(".", 1)[1])
        return "clip.pre_ln" if i == 0 else f"clip.layers.{i - 1}"
    if stage.startswith("lm.layers."):
        return stage[3:]
    if stage == "features" and full:
        return "clip.select.full"
    return LLAVA.get(stage)


def answers(out):
    return [json.loads(line) for line in out.splitlines()]


def last_rows(c, prefix, trace, want_logits):
    """logits.last is the last row of the traced logits: compared here."""
    out = c.sh(f"{prefix} trace", f"mm-cut -w name=logits {trace} | mm-unpack -o last.npy - && echo ok")
    if out is None:
        return
    got = np.load(c.t("last.npy"))[-1]
    d = np.linalg.norm(got - want_logits) / np.linalg.norm(want_logits)
    point(f"{c.name} {prefix}: logits.last", d <= 1e-4, f"relative distance {d:.3g}")


def llava_prompt(c, name, text, images, options=("", ""), models=None, expected=None, key=None):
    enc, lm = (models or (c.model, c.model))
    exp = expected or c.json[name]
    full = c.name == "llava/score"
    stages = {s[len(name) + 1:]: a for s, a in c.expected.items() if s.startswith(name + ".")}
    if key is not None:  # one row of a batch
        stages = {s: (a[key:key + 1] if s == "pixel_values" else a[:, key] if s == "greedy.logits" else a[key])
                  for s, a in stages.items()}
        exp = {k: v[key] for k, v in exp.items() if isinstance(v, list)}
    steps = len(stages["greedy.logits"]) if "greedy.logits" in stages else len(exp["greedy_ids"])
    llm = f"mm-llm -m '{lm}' --exact --trace l.mmt -p \"$PROMPT\" -n {steps} -t 0 --json"
    command = f"PROMPT=$(cat prompt); "
    with open(c.t("prompt"), "w") as f:
        f.write(escape(text))
    traces = ["l.mmt"]
    if images:
        files = " ".join(f"'{c.path(i)}'" for i in images)
        command += (f"mm-encode -m '{enc}' -1 --exact {options[0]} --trace e.mmt {files} | "
                    f"mm-project -m '{enc}' --exact {options[1]} --trace p.mmt | ")
        traces = ["e.mmt", "p.mmt", "l.mmt"]
    out = c.sh(name, command + llm)
    if out is None:
        return
    label = name if key is None else f"{name}[{key}]"
    want = {}
    for s, a in stages.items():
        tn = trace_name(s, full)
        if tn:
            want[tn] = (a, c.rtol.get(f"{name}.{s}", 1e-4))
    c.diff(label, want, traces)
    if "logits.last" in stages:
        last_rows(c, label, "l.mmt", stages["logits.last"])
    a = answers(out)[0]
    point(f"{c.name} {label}: greedy ids", a["tokens"] == exp["greedy_ids"], f"{a}\n{exp['greedy_ids']}")
    if "greedy_text" in exp:
        point(f"{c.name} {label}: greedy text", a["text"].strip() == exp["greedy_text"].strip(),
              f"{a['text']!r}\n{exp['greedy_text']!r}")
    if key is None and "prompt_ids" in exp:
        ids = exp["prompt_ids"]
        n = len(ids) + sum(1 for i in ids if i == -200) * 0
        if -200 in ids:
            n = len(c.expected.get(f"{name}.embeds", np.zeros(exp.get("rows", 0))))
        point(f"{c.name} {label}: prompt positions", n == 0 or a["prompt_tokens"] == n,
              f"{a['prompt_tokens']} {n}")


def run_llava(c):
    prompts = c.spec["inputs"].get("prompts", {})
    for name, p in prompts.items():
        images = p.get("images", [])
        merge = p.get("config", {}).get("mm_patch_merge_type")
        options = (f"--aspect {p['aspect']}" if "aspect" in p else "", f"--merge {merge}" if merge else "")
        if c.spec["config"].get("kind") == "gguf":
            lm = c.path("model", c.spec["config"]["files"]["lm"])
            for mm in ("mmproj", "mmproj_new"):
                llava_prompt(c, name, p["text"], images,
                             models=(c.path("model", c.spec["config"]["files"][mm]), lm))
        elif p.get("batch"):
            for i, text in enumerate(p["text"]):
                llava_prompt(c, name, text, [images[i]], key=i)
            run_batch(c, name, p)
        else:
            llava_prompt(c, name, p["text"], images, options)
    inputs = c.spec["inputs"]
    if "turn1" in inputs:
        answer = c.json["turn1"]["greedy_text"].strip()
        llava_prompt(c, "turn1", inputs["turn1"], inputs["images"])
        llava_prompt(c, "turn2", inputs["turn2"].replace("{answer1}", answer), inputs["images"])
    if "continuations" in inputs:
        llava_prompt(c, "prompt", inputs["prompt"], inputs["images"])
        run_scores(c)
    for name, tk in c.json.get("tokenize", {}).items():
        run_tokenize(c, name, tk)


def run_batch(c, name, p):
    """The rows together, an item each."""
    with open(c.t("prompts.jsonl"), "w") as f:
        for i, text in enumerate(p["text"]):
            f.write(json.dumps({"source": c.path(p["images"][i]), "prompt": text}) + "\n")
    files = " ".join(f"'{c.path(i)}'" for i in p["images"])
    out = c.sh(name, f"mm-encode -m '{c.model}' --exact {files} | mm-project -m '{c.model}' --exact | "
                     f"mm-llm -m '{c.model}' --exact --prompts prompts.jsonl -n 16 -t 0 --json")
    if out is not None:
        got = [a["tokens"] for a in answers(out)]
        point(f"{c.name} {name}: rows together", got == c.json[name]["greedy_ids"],
              f"{got}\n{c.json[name]['greedy_ids']}")


def run_scores(c):
    inputs = c.spec["inputs"]
    with open(c.t("prompt"), "w") as f:
        f.write(escape(inputs["prompt"]))
    args = " ".join("--score \"$(cat c%d)\"" % i for i in range(len(inputs["continuations"])))
    for i, text in enumerate(inputs["continuations"]):
        open(c.t(f"c{i}"), "w").write(" " + text)
    out = c.sh("score", f"mm-encode -m '{c.model}' --exact '{c.path(inputs['images'][0])}' | "
                        f"mm-project -m '{c.model}' --exact | "
                        f"mm-llm -m '{c.model}' --exact -p \"$(cat prompt)\" {args} --json")
    if out is None:
        return
    for i, a in enumerate(answers(out)):
        want = c.json["scores"][i]
        close = a["ids"] == want["ids"] and np.allclose(a["logprobs"], want["per_token"], rtol=1e-4) \
            and np.isclose(a["logprob"], want["sum"], rtol=1e-4)
        point(f"{c.name} score {i}", bool(close), f"{a}\n{want}")


def run_tokenize(c, name, tk):
    """Chunks around <image> by the program: the picture's place is its row count."""
    if -200 in tk["ids"] or not tk["text"]:
        return  # prompt assembly: tests/unit/test_prompt.c
    open(c.t("text"), "w").write(tk["text"])
    out = c.sh(f"tokenize {name}", f"mm-tokens -m '{c.model}' --parse --json <<END\n{json.dumps(tk['text'])}\nEND")
    if out is not None:
        point(f"{c.name} tokenize {name}", json.loads(out) == tk["ids"], f"{out}\n{tk['ids']}")


def run_clip(c):
    traces = []
    models = [c.model]
    if "files" in c.spec["config"]:
        models = [c.path("model", f) for f in c.spec["config"]["files"]]
    if c.spec["config"]["kind"] == "zero-shot":
        return run_zero_shot(c)
    for model in models:
        traces = []
        ok = True
        for key, kind in (("pixel_values", "pixels"), ("input_ids", "tokens")):
            if key not in c.inputs:
                continue
            np.save(c.t(f"{key}.npy"), c.inputs[key])
            command = f"mm-pack --kind {kind} {key}.npy | mm-encode -m '{model}' --exact --trace {kind}.mmt"
            traces.append(f"{kind}.mmt")
            if "projector" in c.expected and kind == "pixels":
                command += f" | mm-project -m '{model}' --exact --trace p.mmt"
                traces.append("p.mmt")
            ok = ok and c.sh(key, command + " >f.mmt && echo ok") is not None
        want = {s: (a, c.rtol[s]) for s, a in c.expected.items() if s != "logits_per_image"}
        if ok:
            c.diff(os.path.basename(model), want, traces)


def run_zero_shot(c):
    files = " ".join(f"'{c.path(p)}'" for p in c.spec["config"]["pictures"])
    texts = " ".join(f"'{t}'" for t in c.spec["config"]["texts"])
    if c.sh("pictures", f"mm-encode -m '{c.model}' -1 --pool --exact --trace e.mmt {files} >i.mmt && echo") is None \
            or c.sh("texts", f"mm-encode -m '{c.model}' --text --exact {texts} >t.mmt && echo") is None:
        return
    c.diff("pictures", {s: (c.expected[s], c.rtol[s]) for s in ("pixel_values", "clip.embed.norm")}, ["e.mmt"])
    out = c.sh("search", "mm-search -k 3 --json t.mmt i.mmt")
    if out is not None:
        best = [a["results"][0]["source"] for a in answers(out)]
        point(f"{c.name}: best text", best == c.json["best_text"], f"{best} {c.json['best_text']}")


def run_lm(c):
    np.save(c.t("ids.npy"), c.inputs["input_ids"])
    n = c.spec["config"]["new_tokens"]
    lora = f"--lora '{c.path('adapter')}'" if "adapter" in c.spec["config"] else ""
    out = c.sh("ids", f"mm-pack --kind tokens ids.npy | "
                      f"mm-llm -m '{c.model}' {lora} --exact --trace l.mmt -n {n} -t 0 --json")
    if out is not None:
        skip = ("batch.", "base.", "greedy_without_cache.")
        same = {"merged.logits": "logits"}
        want = {}
        for s, a in c.expected.items():
            if not s.startswith(skip) and s not in same:
                want[s] = (a, c.rtol[s])
        c.diff("ids", want, ["l.mmt"])
        a = answers(out)[0]
        point(f"{c.name}: greedy ids", a["tokens"] == c.json["greedy"], f"{a['tokens']}\n{c.json['greedy']}")
        if "merged.logits" in c.expected:
            c.diff("merged", {"logits": (c.expected["merged.logits"], 1e-4)}, ["l.mmt"])
    if "base.logits" in c.expected:
        out = c.sh("base", f"mm-pack --kind tokens ids.npy | mm-llm -m '{c.model}' --exact --trace b.mmt -n {n} -t 0 --json")
        if out is not None:
            c.diff("base", {"logits": (c.expected["base.logits"], 1e-4)}, ["b.mmt"])
            point(f"{c.name}: base greedy", answers(out)[0]["tokens"] == c.json["base_greedy"])
    if "prompt" in c.spec["config"]:
        out = c.sh("text", f"mm-llm -m '{c.model}' --exact -p '{c.spec['config']['prompt']}' -n {n} -t 0 --json")
        if out is not None:
            a = answers(out)[0]
            point(f"{c.name}: text", a["tokens"] == c.json["greedy"] and a["text"] == c.json["text"],
                  f"{a}\n{c.json['text']!r}")
    if "batch_ids" in c.inputs and "batch_greedy" in c.json:
        rows = [ids[m == 1] for ids, m in zip(c.inputs["batch_ids"], c.inputs["batch_mask"])]
        for i, r in enumerate(rows):
            np.save(c.t(f"r{i}.npy"), r)
        names = " ".join(f"r{i}.npy" for i in range(len(rows)))
        out = c.sh("batch", f"mm-pack --kind tokens {names} | mm-llm -m '{c.model}' --exact -n {n} -t 0 --json")
        if out is not None:
            got = [a["tokens"] for a in answers(out)]
            point(f"{c.name}: batch", got == c.json["batch_greedy"], f"{got}\n{c.json['batch_greedy']}")


def run_beam(c):
    np.save(c.t("ids.npy"), c.inputs["input_ids"])
    rows = [ids[m == 1] for ids, m in zip(c.inputs["batch_ids"], c.inputs["batch_mask"])]
    for i, r in enumerate(rows):
        np.save(c.t(f"r{i}.npy"), r)
    for run, want in zip(c.spec["config"]["runs"], c.json["runs"]):
        opt = f"--beam {run['num_beams']} -n {run['max_new_tokens']} --num-return {run.get('num_return_sequences', run['num_beams'])}"
        if "length_penalty" in run:
            opt += f" --length-penalty {run['length_penalty']}"
        if "early_stopping" in run:
            opt += f" --early-stopping {str(run['early_stopping']).lower()}"
        if "eos_token_id" in run:
            e = run["eos_token_id"]
            opt += "".join(f" --eos {i}" for i in (e if isinstance(e, list) else [e]))
        if "repetition_penalty" in run:
            opt += f" --repeat-penalty {run['repetition_penalty']}"
        if "no_repeat_ngram_size" in run:
            opt += f" --no-repeat-ngram {run['no_repeat_ngram_size']}"
        if "min_new_tokens" in run:
            opt += f" --min-tokens {run['min_new_tokens']}"
        files = "r0.npy r1.npy" if run.get("input") == "batch_ids" else "ids.npy"
        out = c.sh(run["name"], f"mm-pack --kind tokens {files} | mm-llm -m '{c.model}' --exact {opt} -t 0 --json")
        if out is None:
            continue
        a = answers(out)
        # generated ids only, and without the pads that fill a shorter row
        ids = [x["tokens"] for x in a]
        ws = [strip(s, run, c) for s in want["sequences"]]
        ok = len(ids) == len(ws) and all(strip(i, run, c) == w for i, w in zip(ids, ws)) and \
            np.allclose([x["score"] for x in a], want["scores"], atol=2e-5)
        point(f"{c.name}: {run['name']}", bool(ok), f"{ids} {[x['score'] for x in a]}\n{want}")


def strip(ids, run, c):
    ids = list(ids)
    while ids and ids[-1] == 0 and run.get("eos_token_id") != 0:
        ids.pop()
    return ids


def run_score(c):
    """Ids without a tokenizer: log-probabilities from the traced logits of prompt + continuation."""
    for i in range(c.spec["config"]["continuations"]):
        prompt, cont = c.inputs["prompt"], c.inputs[f"continuation.{i}"]
        np.save(c.t("ids.npy"), np.concatenate([prompt, cont]))
        out = c.sh("score", f"mm-pack --kind tokens ids.npy | mm-llm -m '{c.model}' --exact "
                            "--trace l.mmt -n 1 -t 0 --json >a && mm-cut -w name=logits l.mmt | "
                            "mm-unpack -o l.npy - && echo")
        if out is None:
            continue
        x = np.load(c.t("l.npy")).astype(np.float64)
        lse = np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1)) + x.max(-1)
        got = [x[len(prompt) - 1 + k, t] - lse[len(prompt) - 1 + k] for k, t in enumerate(cont)]
        want = c.expected[f"logprobs.{i}"]
        ok = np.linalg.norm(np.array(got) - want) <= 1e-4 * np.linalg.norm(want) and \
            np.isclose(sum(got), c.json["sums"][i], rtol=1e-4)
        point(f"{c.name}: continuation {i}", bool(ok), f"{got}\n{want}")


def coverage():
    """Every case directory is in COVERAGE, and what it names exists."""
    listed = {}
    for line in open(os.path.join(HERE, "COVERAGE")):
        if line.strip() and not line.startswith("#"):
            case, how = line.split(None, 1)
            listed[case] = how.split()
    here = {os.path.relpath(os.path.dirname(p), HERE) for p in glob.glob(f"{HERE}/*/*/case.json")}
    for case in sorted(here - set(listed)):
        point(f"{case} is covered", False, "not in tests/golden/COVERAGE")
    top = os.path.dirname(os.path.dirname(HERE))
    for case, how in sorted(listed.items()):
        missing = [h for h in how if h != "program" and not os.path.exists(os.path.join(top, "tests", h))]
        point(f"{case} is covered", case in here and not missing, f"missing: {missing or case}")
    return [case for case, how in listed.items() if "program" in how]


def main():
    names = sys.argv[1:] or coverage()
    for name in names:
        with tempfile.TemporaryDirectory() as tmp:
            c = Case(name, tmp)
            family, kind = name.split("/")[0], c.spec.get("config", {}).get("kind")
            if family == "llava":
                run_llava(c)
            elif family == "clip":
                run_clip(c)
            elif kind == "beam":
                run_beam(c)
            elif kind == "score":
                run_score(c)
            else:
                run_lm(c)
    print(f"1..{count}")
    sys.exit(failed > 0)


main()
