package classifier

import (
	"math/bits"

	"posthaste/mail"
	"posthaste/message"
)

// Bounds on what is taken of a message. What stands first tells most: in cross-validation, 1,600
// features did better than 1,000 and than 2,400.
const (
	maxText     = 32 << 10 // bytes of decoded text, over all parts
	maxWords    = 8_000    // words that are looked at
	maxFeatures = 1_600    // features in all
	maxParts    = 64       // parts whose type and text count
)

// seenSlots is the size of the set that keeps features apart: a power of two, at most half of it used.
const seenSlots = 4_096

// An origin says where in a message a word stood. Words of different origins are different features.
type origin uint8

// The origins. Their numbers are part of what is stored.
const (
	originBody origin = iota
	originHidden
	originSubject
	originFrom
	originReplyTo
	originTo
	originHeader
	originMailer
	originID
	originType
	originList
	originURL
	originAddress
	originForm   // of the message as a whole
	originClient // who handed the message over
	originHop    // the hosts before that
)

// general tells of origins that say of any mail what it is. The others say rather which way it came,
// over which mailing list, say: what is learned of them holds for those who use that way, and is no
// reason to distrust all who come another.
func (o origin) general() bool {
	switch o {
	case originTo, originHeader, originList, originClient, originHop:
		return false
	}
	return true
}

// A kind says what a word is that is no word of a text.
type kind uint8

// The kinds. Their numbers are part of what is stored.
const (
	kindWord kind = iota
	kindAddress
	kindBoundary
	kindCaps
	kindCharset
	kindCount
	kindEncoding
	kindField
	kindFile
	kindHelo
	kindHost
	kindLocal
	kindName
	kindNet
	kindOdd
	kindParts
	kindPath
	kindSame
	kindScheme
	kindShape
	kindText
	kindTld
	kindType
	kindValue
)

// A word is a part of the arena.
type word struct {
	at     uint32
	length uint16
	origin origin
	kind   kind
}

// A feature is what is counted: a word, or a word with the one before it.
type feature struct {
	hash uint32
	word uint16 // index of words
	pair bool
}

// Tokens are the features of one message, each once. They do not change and may be used for several
// accounts at the same time.
type Tokens struct {
	arena    []byte
	words    []word
	features []feature
	single   int // features that are no pairs
	general  int // features of general origins
}

// Len returns how many features there are.
func (t *Tokens) Len() int { return len(t.features) }

// A tokenizer gathers the features of a message.
type tokenizer struct {
	Tokens
	hashes []uint64 // of words
	seen   []uint32 // open addressing, 0 is free; holds the hashes of features
	start  int      // in the arena, of the word being made
	first  int      // of the words that may be paired, the first
	left   int      // bytes of text that may still be read

	count, caps int // words of text, and those in capitals

	recipients []string // local-parts
	author     string   // registered domain of the author
	visible    []byte   // text of HTML
	hidden     []byte
}

// Tokenize returns the features of a message that was received: its header tells from whom.
func (c *Classifier) Tokenize(m *message.Message) *Tokens { return c.TokenizeWith(m, mail.Origin{}) }

// TokenizeWith returns the features of a message that is being received, whose header does not tell yet
// who handed it over: origin does. They are those that Tokenize returns once our Received field is there.
func (c *Classifier) TokenizeWith(m *message.Message, origin mail.Origin) *Tokens {
	t := c.tokenizers.Get().(*tokenizer)
	defer c.tokenizers.Put(t)
	t.reset()
	t.header(m.Header, origin)
	t.body(m)
	t.form()
	return &Tokens{
		arena:    append([]byte(nil), t.arena...),
		words:    append([]word(nil), t.words...),
		features: append([]feature(nil), t.features...),
		single:   t.single,
		general:  t.general,
	}
}

func newTokenizer() any { return &tokenizer{seen: make([]uint32, seenSlots)} }

func (t *tokenizer) reset() {
	clear(t.seen)
	t.arena, t.words, t.features, t.hashes = t.arena[:0], t.words[:0], t.features[:0], t.hashes[:0]
	t.start, t.first, t.left, t.single, t.general, t.count, t.caps = 0, 0, maxText, 0, 0, 0, 0
	clear(t.recipients)
	t.recipients, t.author = t.recipients[:0], ""
}

func (t *tokenizer) full() bool { return len(t.features) >= maxFeatures || len(t.words) >= maxWords }

// begin begins a word in the arena.
func (t *tokenizer) begin() { t.start = len(t.arena) }

// endWord ends a word of a text, which is paired with the one before it.
func (t *tokenizer) endWord(o origin) {
	if len(t.arena) == t.start || t.full() {
		t.arena = t.arena[:t.start]
		return
	}
	if t.isRecipient(t.arena[t.start:]) {
		t.arena = append(t.arena[:t.start], "(recipient)"...)
	}
	h := hashWord(o, kindWord, t.arena[t.start:])
	t.keep(o, kindWord, h)
	if at := len(t.words) - 1; at > t.first {
		t.feature(t.hashes[at-1]*0x9e3779b97f4a7c15^bits.RotateLeft64(h, 31), at, true)
	}
}

// end ends a word that stands alone.
func (t *tokenizer) end(o origin, k kind) {
	if len(t.arena) == t.start || t.full() {
		t.arena = t.arena[:t.start]
		return
	}
	t.keep(o, k, hashWord(o, k, t.arena[t.start:]))
	t.breakPairs()
}

// breakPairs keeps the next word from being paired with the one before.
func (t *tokenizer) breakPairs() { t.first = len(t.words) }

// add adds a word that stands alone, as it is.
func (t *tokenizer) add(o origin, k kind, s string) {
	t.begin()
	t.arena = append(t.arena, s...)
	t.end(o, k)
}

// keep adds the word being made with its feature.
func (t *tokenizer) keep(o origin, k kind, h uint64) {
	t.words = append(t.words, word{at: uint32(t.start), length: uint16(len(t.arena) - t.start), origin: o, kind: k})
	t.hashes = append(t.hashes, h)
	t.feature(h, len(t.words)-1, false)
	t.start = len(t.arena)
}

// feature adds a feature unless it is there already.
func (t *tokenizer) feature(h uint64, at int, pair bool) {
	if len(t.features) >= maxFeatures {
		return
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	hash := max(uint32(h>>32), 1)
	i := hash % seenSlots
	for t.seen[i] != 0 {
		if t.seen[i] == hash {
			return
		}
		i = (i + 1) % seenSlots
	}
	t.seen[i] = hash
	t.features = append(t.features, feature{hash: hash, word: uint16(at), pair: pair})
	if !pair {
		t.single++
	}
	if t.words[at].origin.general() {
		t.general++
	}
}

// FNV-1a.
const (
	offset64 = 14695981039346656037
	prime64  = 1099511628211
)

// hashWord returns the hash of a word of some origin and kind.
func hashWord(o origin, k kind, b []byte) uint64 {
	h := (uint64(offset64) ^ uint64(o) ^ uint64(k)<<8) * prime64
	for _, c := range b {
		h = (h ^ uint64(c)) * prime64
	}
	return h
}
