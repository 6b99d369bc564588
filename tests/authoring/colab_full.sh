#!/usr/bin/env bash
# Measures the claims of all lessons at scale full on a GPU that Colab lends:
#
#   bash tests/authoring/colab_full.sh [PICTURE]
#
# PICTURE: the photograph of slide D1-08; then a real CLIP's map of it is stored too. It takes a Google
# account with Colab, a course that has its public address (`python -m helpers home`), and Google's
# command-line program, for Linux and macOS: `uv tool install google-colab-cli`.
# Every lesson's numbers come back at once. Where Colab takes the machine away, call it again.
set -euo pipefail
cd "$(dirname "$0")/../.."
home=$(cat tests/authoring/home.txt)
python=${PYTHON:-python}
ledger=notebooks/claims_full.json
slide=notebooks/pictures/slide_d1_08.png
session=course-full

[ -n "$home" ] || { echo "First give the course an address: python -m helpers home OWNER/REPO."; exit 1; }
command -v colab >/dev/null || { echo "First call: uv tool install google-colab-cli"; exit 1; }

there() { # runs a command in the course's folder on the machine that Colab lends
    printf 'import subprocess\nsubprocess.run(%s, shell=True, check=True, cwd="%s")\n' "$1" "$2" |
        colab exec -s "$session" --timeout 3600
}

colab new -s "$session" --gpu T4
trap 'colab stop -s "$session"' EXIT
there "'rm -rf course; git clone -q --depth=1 https://github.com/$home course'" /content
there "'pip install -q -r requirements-colab.txt nbclient nbformat'" /content/course
if [ -f "$ledger" ]; then colab upload -s "$session" "$ledger" "/content/course/$ledger"; fi
if [ $# -gt 0 ]; then
    colab upload -s "$session" "$1" /content/picture
    there "'python -m tests.authoring.slide_picture /content/picture'" /content/course
    colab download -s "$session" "/content/course/$slide" "$slide"
fi
for lesson in notebooks/[0-9]*.ipynb; do
    number=$(basename "$lesson" | cut -c1-2)
    there "'COURSE_SOURCE=packaged python -m helpers record --full --here $number'" /content/course ||
        echo "lesson $number was not measured"
    colab download -s "$session" "/content/course/$ledger" "$ledger" || exit 1
done
"$python" -m helpers record --full # all is measured: this writes CLAIMS.md
