"""Makes dejavu-sans.ttf beside it: the characters that inference.png uses, from DejaVu Sans as matplotlib ships it.

`pip install matplotlib fonttools && python make_font.py`. The font's licence (Bitstream Vera, DejaVu changes in the
public domain) allows subsets under this name's family; see https://dejavu-fonts.github.io/License.html.
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
