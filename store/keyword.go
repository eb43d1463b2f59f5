package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strings"

	"posthaste/kv"
)

// Bounds of keywords.
const (
	MaxKeywords     = 128 // different keywords in an account, the builtin ones included
	maxKeywordBytes = 100
	builtinKeywords = 16 // numbers kept for the keywords this package knows by itself
)

// The numbers of the system flags. They are stored and never change.
const (
	seen = iota
	answered
	flagged
	draft
)

// builtin are the keywords that need no entry in the account, by number.
var builtin = [...]string{`\Seen`, `\Answered`, `\Flagged`, `\Draft`,
	"$Forwarded", "$MDNSent", "$Junk", "$NotJunk", "$Phishing", "$Important", "$SubmitPending", "$Submitted"}

const deletedFlag, recentFlag = `\Deleted`, `\Recent`

// Keywords is an email's set of keywords, system flags such as \Seen included (\Deleted is not one).
type Keywords struct{ low, high uint64 }

// Seen tells whether \Seen is set.
func (k Keywords) Seen() bool { return k.low&(1<<seen) != 0 }

// Answered tells whether \Answered is set.
func (k Keywords) Answered() bool { return k.low&(1<<answered) != 0 }

// Flagged tells whether \Flagged is set.
func (k Keywords) Flagged() bool { return k.low&(1<<flagged) != 0 }

// Draft tells whether \Draft is set.
func (k Keywords) Draft() bool { return k.low&(1<<draft) != 0 }

func (k Keywords) has(n int) bool {
	if n < 64 {
		return k.low>>n&1 != 0
	}
	return k.high>>(n-64)&1 != 0
}

func (k *Keywords) set(n int) {
	if n < 64 {
		k.low |= 1 << n
	} else {
		k.high |= 1 << (n - 64)
	}
}

func (k Keywords) or(o Keywords) Keywords     { return Keywords{k.low | o.low, k.high | o.high} }
func (k Keywords) andNot(o Keywords) Keywords { return Keywords{k.low &^ o.low, k.high &^ o.high} }

// numbers yields the numbers of k ascending.
func (k Keywords) numbers() iter.Seq[int] {
	return func(yield func(int) bool) {
		for w := k.low; w != 0; w &= w - 1 {
			if !yield(bits.TrailingZeros64(w)) {
				return
			}
		}
		for w := k.high; w != 0; w &= w - 1 {
			if !yield(64 + bits.TrailingZeros64(w)) {
				return
			}
		}
	}
}

func appendKeywords(dst []byte, k Keywords) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, k.low), k.high)
}

func (d *decoder) keywords() Keywords { return Keywords{d.uvarint(), d.uvarint()} }

// Has tells whether name, in any case, is in k. For many rows [View.Keyword] is faster.
func (v *View) Has(k Keywords, name string) bool {
	n, ok := v.keywords.number(name)
	return ok && k.has(n)
}

// Keyword returns a function that tells whether name, in any case, is in a set of this account.
func (v *View) Keyword(name string) func(Keywords) bool {
	n, ok := v.keywords.number(name)
	return func(k Keywords) bool { return ok && k.has(n) }
}

// Names yields the keywords of k in order of their making, in the spelling of the first use.
func (v *View) Names(k Keywords) iter.Seq[string] {
	return func(yield func(string) bool) {
		for n := range k.numbers() {
			if name := v.keywords.name(n); name != "" && !yield(name) {
				return
			}
		}
	}
}

// KeywordNames returns all keywords that the account knows, as IMAP flags in order of their making:
// \Seen, \Answered, \Flagged, \Draft first. More can be made while there are fewer than [MaxKeywords].
func (v *View) KeywordNames() []string {
	return append(slices.Clone(builtin[:]), v.keywords...)
}

// keywordNames are an account's custom keywords in order of number, from builtinKeywords on. It is
// never changed, only appended to in a copy.
type keywordNames []string

func (names keywordNames) name(n int) string {
	switch {
	case n < len(builtin):
		return builtin[n]
	case n >= builtinKeywords && n-builtinKeywords < len(names):
		return names[n-builtinKeywords]
	}
	return ""
}

func (names keywordNames) number(name string) (int, bool) {
	if n, ok := builtinNumber(name); ok {
		return n, true
	}
	for i, known := range names {
		if strings.EqualFold(known, name) {
			return builtinKeywords + i, true
		}
	}
	return 0, false
}

func builtinNumber(name string) (int, bool) {
	for i, known := range &builtin {
		if len(known) == len(name) && strings.EqualFold(known, name) {
			return i, true
		}
	}
	return 0, false
}

func readKeywords(r kv.Reader) (keywordNames, error) {
	b, err := r.Get([]byte{keyKeywords})
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := decoder{b: b}
	d.format(1)
	names := make(keywordNames, d.count())
	for i := range names {
		names[i] = d.string()
	}
	return names, d.err("keyword names")
}

func (names keywordNames) encode() []byte {
	b := binary.AppendUvarint([]byte{1}, uint64(len(names)))
	for _, name := range names {
		b = appendBytes(b, name)
	}
	return b
}

// flagSet is flags as a client names them, checked but not yet numbered.
type flagSet struct {
	builtin Keywords
	custom  []string
	deleted bool
}

// parseFlags sorts names into what is builtin and what the account must know. \Recent, which no client
// can set, is passed over.
func parseFlags(names []string) (flagSet, error) {
	var f flagSet
	for _, name := range names {
		switch n, ok := builtinNumber(name); {
		case ok:
			f.builtin.set(n)
		case strings.EqualFold(name, deletedFlag):
			f.deleted = true
		case strings.EqualFold(name, recentFlag):
		case !validKeyword(name):
			return f, fmt.Errorf("store: %w: %.100q is not an atom of at most %d bytes", ErrKeyword, name, maxKeywordBytes)
		default:
			f.custom = append(f.custom, name)
		}
	}
	return f, nil
}

// validKeyword tells whether name is a flag-keyword (RFC 9051 section 9, atom).
func validKeyword(name string) bool {
	if name == "" || len(name) > maxKeywordBytes {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

// resolve numbers the flags in names; unknown ones get numbers when create is set and are left out
// otherwise. It returns names with the new ones at the end.
func (f flagSet) resolve(names keywordNames, create bool) (Keywords, keywordNames, error) {
	k := f.builtin
	for _, name := range f.custom {
		n, ok := names.number(name)
		if !ok && !create {
			continue
		}
		if !ok {
			if n = builtinKeywords + len(names); n >= MaxKeywords {
				return k, names, fmt.Errorf("store: %w: %q would be one more than the %d an account can have", ErrKeyword, name, MaxKeywords)
			}
			names = append(names[:len(names):len(names)], strings.Clone(name))
		}
		k.set(n)
	}
	return k, names, nil
}
