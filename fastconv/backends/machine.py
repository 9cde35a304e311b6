"""What the machine says of itself."""

from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def last_level(folder=CACHES):
    """Bytes of the largest cache that the first core reaches, as Linux tells; 0 where nobody does."""
    sizes = [0]
    for path in folder.glob("index*/size"):
        try:
            text = path.read_text(encoding="ascii").strip()
            sizes.append(int(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else int(text))
        except (OSError, ValueError, IndexError):
            continue
    return max(sizes)
