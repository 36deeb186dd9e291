"""Checks identity.json in a second language: RFC 8785 text by hand, BLAKE3 by the `blake3` package from PyPI.

Run by hand: `pip install blake3 && python3 check_identity.py`. Exits 1 on the first disagreement, 2 without blake3.
"""

import json
import math
import pathlib
import sys

try:
    from blake3 import blake3
except ImportError:
    print("not checked: the Python package blake3 is not installed")
    sys.exit(2)


def number(value):
    """A number as ECMAScript prints it, which RFC 8785 requires."""
    if isinstance(value, int):
        value = float(value)
    assert math.isfinite(value)
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).rstrip("0") if fraction != "0" else whole
    point = len(whole) + int(exponent or 0)
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0") or "0"
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    exp = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return sign + digits[0] + ("." + digits[1:] if count > 1 else "") + exp


def canonical(value):
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, str):
        # U+007F and above stay as they are; JSON and RFC 8785 agree on the rest.
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
    return "{" + ",".join(canonical(key) + ":" + canonical(value[key]) for key in keys) + "}"


def main():
    path = pathlib.Path(__file__).with_name("identity.json")
    cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
    for case in cases:
        text = canonical(case["input"]["parts"])
        found = "blake3:" + blake3(text.encode("utf-8")).hexdigest()
        if found != case["expected"]:
            print(f"{case['id']}: expected {case['expected']}, got {found} from {text}")
            return 1
    print(f"{len(cases)} cases agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
