"""Makes dejavu-sans.ttf beside it: the characters that inference.png uses, from DejaVu Sans as matplotlib ships it.

`pip install matplotlib fonttools && python make_font.py`. The font's licence, dejavu-sans.LICENSE, is matplotlib's
LICENSE_DEJAVU: whoever passes the font on passes the licence on too, and a changed font may not be called Bitstream,
Vera, Arev or Tavmjong Bah.
"""

import pathlib
import string

import matplotlib
from fontTools import subset

CHARACTERS = string.ascii_letters + string.digits + string.punctuation + " ·×±−–²σΔμ…≤≥≈"


def main():
    source = pathlib.Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
    options = subset.Options(layout_features=[], hinting=False)
    font = subset.load_font(str(source), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=CHARACTERS)
    subsetter.subset(font)
    subset.save_font(font, str(pathlib.Path(__file__).with_name("dejavu-sans.ttf")), options)


if __name__ == "__main__":
    main()
