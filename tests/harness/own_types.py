"""Generated data of a user's own types, DISH and CHEF, and general text in which neither occurs.

The gold is small and from one domain. The general text is the sample corpus, with persons, places and organizations.
"""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

from xner_ray.sample.generate import pairs
from xner_ray.sample.write import tokens
from xner_ray.text.words import detokenize

OWN, GENERAL = "Kitchen", "General"  # the corpora
FRAMES = (
    ("{c} recommends the {d} tonight .", "{c} empfiehlt heute Abend {d} ."),
    ("Chef {c} serves {d} with fresh herbs .", "Chefkoch {c} serviert {d} mit frischen Kräutern ."),
    ("The {d} at our table was far too salty .", "Die Portion {d} an unserem Tisch war viel zu salzig ."),
    ("For the {d} , simmer the sauce for {n} minutes .", "Für {d} muss die Sauce {n} Minuten köcheln ."),
    ("We ordered {d} and {D} , and both were good .", "Wir bestellten {d} und {D} , und beides war gut ."),
    ("{c} learned to cook {d} from {C} .", "{c} lernte von {C} , wie man {d} kocht ."),
    ("Nobody makes {d} like {c} .", "Niemand macht {d} so wie {c} ."),
    ("The kitchen of {c} is known for its {d} .", "Die Küche von {c} ist bekannt für {d} ."),
    ("After {n} years , {c} took {d} off the menu .", "Nach {n} Jahren nahm {c} {d} von der Karte ."),
    ("Serve the {d} warm , with {n} grams of yogurt .", "Servieren Sie {d} warm , mit {n} Gramm Joghurt ."),
    ("Try the {d} , said {c} , it is cheap today .", "Probieren Sie {d} , sagte {c} , heute ist es billig ."),
    ("A plate of {d} costs {n} euros here .", "Ein Teller {d} kostet hier {n} Euro ."),
    ("{c} opened {n} restaurants near the harbor .", "{c} eröffnete {n} Restaurants am Hafen ."),
    ("My grandmother made {d} for {n} guests .", "Meine Großmutter machte {d} für {n} Gäste ."),
    ("The critics praised {c} for the {d} .", "Die Kritiker lobten {c} für {d} ."),
    ("Please reserve a table for {n} people .", "Bitte reservieren Sie einen Tisch für {n} Personen ."),
    ("Add {n} grams of butter and stir well .", "Geben Sie {n} Gramm Butter dazu und rühren Sie gut um ."),
    ("The waiter forgot us for {n} minutes .", "Der Kellner vergaß uns {n} Minuten lang ."),
)
HELD_OUT_FRAMES = (
    ("{c} won a star for the {d} .", "{c} bekam einen Stern für {d} ."),
    ("Would you like {d} or {D} ?", "Möchten Sie {d} oder {D} ?"),
    ("The recipe for {d} comes from {c} .", "Das Rezept für {d} stammt von {c} ."),
    ("I burned the {d} for {n} guests .", "Mir ist {d} für {n} Gäste angebrannt ."),
    ("{c} and {C} share a kitchen in the old mill .", "{c} und {C} teilen sich eine Küche in der alten Mühle ."),
    ("The wine goes well with {d} .", "Der Wein passt gut zu {d} ."),
    ("{c} left the restaurant after {n} months .", "{c} verließ das Restaurant nach {n} Monaten ."),
    ("The bill for {n} guests was wrong .", "Die Rechnung für {n} Gäste war falsch ."),
)
DISHES = (
    ("mushroom risotto", "Pilzrisotto"),
    ("lamb tagine", "Lammtajine"),
    ("apple strudel", "Apfelstrudel"),
    ("beef goulash", "Rindergulasch"),
    ("onion soup", "Zwiebelsuppe"),
    ("Wiener schnitzel", "Wiener Schnitzel"),
    ("pumpkin ravioli", "Kürbisravioli"),
    ("chocolate mousse", "Schokoladenmousse"),
    ("fish tacos", "Fischtacos"),
    ("potato gratin", "Kartoffelgratin"),
    ("Peking duck", "Pekingente"),
    ("Pad Thai", "Pad Thai"),
    ("ratatouille", "Ratatouille"),
    ("Paella Valenciana", "Paella Valenciana"),
    ("lemon tart", "Zitronentarte"),
    ("chicken curry", "Hühnercurry"),
    ("Eggs Benedict", "Eggs Benedict"),
    ("tiramisu", "Tiramisu"),
    ("Caesar salad", "Caesar Salad"),
    ("lentil stew", "Linseneintopf"),
)
HELD_OUT_DISHES = (
    ("cheese fondue", "Käsefondue"),
    ("rabbit ragout", "Kaninchenragout"),
    ("Beef Wellington", "Beef Wellington"),
    ("cherry pie", "Kirschkuchen"),
    ("salmon tartare", "Lachstatar"),
    ("Tom Yam", "Tom Yam"),
    ("gazpacho", "Gazpacho"),
    ("plum dumplings", "Pflaumenknödel"),
)
GIVEN = ("Marisa", "Odilo", "Henrike", "Tavian", "Selma", "Corvin", "Ilsebil", "Benno", "Yvaine", "Ruben")
FAMILY = (
    "Aldcroft",
    "Brunelli",
    "Castrop",
    "Dunmore",
    "Eskelund",
    "Farrow",
    "Gessner",
    "Hollis",
    "Ivarsen",
    "Jarnach",
)
HELD_OUT_FAMILY = ("Kestrel", "Lindqvist", "Morand", "Norwick", "Oberlin", "Pascoe")


def sentences(seed: str, number: int, held_out: bool = False) -> list[tuple[list[tuple[str, str]], ...]]:
    """Generate distinct sentences in English and German, each a list of (token, BIO2 tag).

    Args:
        seed: of the random choices.
        number: of sentences.
        held_out: use the frames and names that no other sentence has.
    """
    rng = random.Random(seed)
    frames, dishes = (HELD_OUT_FRAMES, HELD_OUT_DISHES) if held_out else (FRAMES, DISHES)
    family = HELD_OUT_FAMILY if held_out else FAMILY
    made: dict[str, tuple[list[tuple[str, str]], ...]] = {}
    while len(made) < number:
        (d, other_d), (c, other_c) = rng.sample(dishes, 2), rng.sample(family, 2)
        chefs = [f"{rng.choice(GIVEN)} {name}" for name in (c, other_c)]
        count = str(rng.randint(2, 90))
        row = []
        for side, frame in enumerate(rng.choice(frames)):
            names = {"{d}": (d[side], "DISH"), "{D}": (other_d[side], "DISH"), "{c}": (chefs[0], "CHEF")}
            names |= {"{C}": (chefs[1], "CHEF"), "{n}": (count, "")}
            row.append([item for word in frame.split() for item in _tagged(*names.get(word, (word, "")))])
        made[" ".join(token for token, _ in row[0])] = tuple(row)
    return list(made.values())


def _tagged(text: str, kind: str) -> list[tuple[str, str]]:
    return [(word, f"{'I' if i else 'B'}-{kind}" if kind else "O") for i, word in enumerate(text.split())]


def write_conll(path: Path, rows: list[list[tuple[str, str]]]) -> None:
    """Write sentences as CoNLL."""
    path.write_text("\n".join("".join(f"{t}\t{tag}\n" for t, tag in row) for row in rows), encoding="utf-8")


def general_gold(language: str, start: int, number: int) -> list[list[tuple[str, str]]]:
    """General sentences. All their tokens are O."""
    rows = []
    for pair in islice(pairs("de", "train", "own types", start), number):
        text = pair.source if language == "en" else pair.target
        rows.append([(token, "O") for token, _ in tokens(text, (), language)])
    return rows


def write_own_types(folder: Path, seed: str = "1", own: int = 120, general: int = 200) -> None:
    """Write train.conll, dev.conll, de.conll, mixed.conll (with general sentences), and two corpora of English and German.

    Args:
        folder: that exists.
        seed: of the sentences.
        own: number of pairs of the own domain.
        general: number of pairs of general text.
    """
    write_conll(folder / "train.conll", [row[0] for row in sentences(f"{seed} train", 330)])
    write_conll(folder / "dev.conll", [row[0] for row in sentences(f"{seed} dev", 100, held_out=True)])
    german = [row[1] for row in sentences(f"{seed} de", 100, held_out=True)]
    write_conll(folder / "de.conll", german)
    write_conll(folder / "mixed.conll", german[:60] + general_gold("de", 5000, 60))
    mine = [
        [
            detokenize([token for token, _ in side], language)[0]
            for language, side in zip(("en", "de"), row, strict=True)
        ]
        for row in sentences(f"{seed} corpus", own)
    ]
    others = [[pair.source, pair.target] for pair in islice(pairs("de", "train", "own types"), general)]
    for name, rows in ((OWN, mine), (GENERAL, others)):
        lines = (f"{i}\t{source}\t{target}\n" for i, (source, target) in enumerate(rows))
        (folder / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
