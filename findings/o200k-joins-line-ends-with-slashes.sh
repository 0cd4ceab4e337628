#!/bin/sh
# o200k_base joins a line end with the slashes after it, so counting line by line is not exact.
#
# Software: gpt-tokenizer 4.0.0 from npm, which carries the vocabularies o200k_base (GPT-4o and
# later, gpt-oss) and cl100k_base (GPT-4; the regular expressions of Llama 3 and Qwen follow it).
#
# Behaviour: a prompt is often counted line by line, to count only what is new. With cl100k_base
# this is exact where lines begin with a visible character: no token crosses the line end.
# o200k_base allows slashes after line ends that follow punctuation ("[\r\n/]*" in its regular
# expression, where cl100k_base has "[\r\n]*"), and its vocabulary has tokens such as ".\n//",
# "}\n//" and even ")\n\n//", which begin on one line and end on the next or the one after. So for
# Go, C, Rust and JavaScript with // comments, the sum over lines is too high; for the same program
# with # comments, it is exact.
#
# Seen:
#   o200k_base,  // comments: 146 tokens whole, 153 in lines (4.8% more)
#   o200k_base,  # comments: 153 tokens whole, 153 in lines (0.0% more)
#   cl100k_base, // comments: 153 tokens whole, 153 in lines (0.0% more)
#   o200k_base,  // comments, no cut before a slash: 146 tokens whole, 146 in lines (0.0% more)
#   ".\n//": 1 token of o200k_base
#   "}\n//": 1 token of o200k_base
#   ")\n\n//": 1 token of o200k_base
#
# Exits 0 if all of this still holds, 1 if it changed, 2 if it could not be tried.
# Takes about 10 seconds. Needs Node.js 20 or newer with npm.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' HUP INT TERM
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" \
  gpt-tokenizer@4.0.0 || exit 2
cat > "$folder/try.mjs" <<'JAVASCRIPT'
import * as cl100k from "gpt-tokenizer/encoding/cl100k_base";
import * as o200k from "gpt-tokenizer/encoding/o200k_base";

const GO = `package store

import "errors"

// Store keeps values by key.
// Its zero value is not ready for use.
type Store struct {
	values map[string]string
}

// ErrMissing is returned for a key that was never set.
// It can be compared with errors.Is.
var ErrMissing = errors.New("missing")

// New returns an empty Store.
func New() *Store {
	return &Store{values: make(map[string]string)}
}

// Get returns the value of key.
//
// It returns ErrMissing where the key was never set.
func (s *Store) Get(key string) (string, error) {
	value, ok := s.values[key]
	if !ok {
		return "", ErrMissing
	}
	return value, nil
}
`;
const LINES = /(?<=\n)(?=[!-~])/; // before a visible character only: white space may join
const NOT_BEFORE_SLASHES = /(?<=\n)(?=[!-.0-~])/;

const whole = (vocabulary, text) => vocabulary.encode(text).length;
const pieces = (vocabulary, text, cut = LINES) =>
  text.split(cut).reduce((sum, piece) => sum + whole(vocabulary, piece), 0);

const hashes = GO.replaceAll("//", "#");
const rows = [
  ["o200k_base,  // comments", whole(o200k, GO), pieces(o200k, GO)],
  ["o200k_base,  # comments", whole(o200k, hashes), pieces(o200k, hashes)],
  ["cl100k_base, // comments", whole(cl100k, GO), pieces(cl100k, GO)],
  ["o200k_base,  // comments, no cut before a slash", whole(o200k, GO),
    pieces(o200k, GO, NOT_BEFORE_SLASHES)],
];
for (const [name, all, sum] of rows) {
  const more = ((100 * (sum - all)) / all).toFixed(1);
  console.log(`${name}: ${all} tokens whole, ${sum} in lines (${more}% more)`);
}
const joined = [".\n//", "}\n//", ")\n\n//"];
const tokens = joined.map((text) => whole(o200k, text));
joined.forEach((text, i) => console.log(`${JSON.stringify(text)}: ${tokens[i]} token of o200k_base`));

const exact = rows.map(([, all, sum]) => all === sum);
const same = String(exact) === "false,true,true,true" && rows[0][2] > rows[0][1] * 1.04
  && tokens.every((count) => count === 1);
console.log(same ? "as described" : "CHANGED");
process.exitCode = same ? 0 : 1;
JAVASCRIPT
node "$folder/try.mjs"
