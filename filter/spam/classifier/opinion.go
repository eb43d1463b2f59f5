package classifier

import (
	"context"
	"math"
	"unicode"
	"unicode/utf8"

	"posthaste/mail"
)

// topWords is how many words an Opinion names on each side.
const topWords = 5

// Threshold is the probability from which on a message is called spam where nothing else is asked: in
// cross-validation by lists about two ham in a thousand reach it.
const Threshold = 0.85

// The logit that stands for even chances, and how fast chances change with it: from cross-validation,
// see docs/performance.md.
const (
	center = 0.27
	steep  = 3.1
)

// An Opinion is what the classifier thinks of a message.
type Opinion struct {
	// Spam is the probability, 0 to 1, that a person would call it spam. From Threshold on it is good
	// for a verdict alone.
	Spam float64 `json:"spam"`
	// Sure tells that enough was learned for an opinion; without it Spam is 0.5 and means nothing.
	Sure bool `json:"sure"`
	// For and Against are the words that spoke most for spam and against it, the strongest first.
	For     []Word `json:"for,omitempty"`
	Against []Word `json:"against,omitempty"`
}

// certainties are the points that a probability counts; between them it is interpolated.
var certainties = [...]struct{ spam, points float64 }{
	{0, -3}, {0.01, -2.5}, {0.1, -1.5}, {0.3, -0.5}, {0.45, 0}, {0.55, 0}, {0.8, 2}, {0.95, 4}, {0.99, 5.2}, {1, 6},
}

// Points returns what o counts beside rules, on the scale of package spam: it makes junk alone when it
// is very sure, and never refuses. Without enough learned it is 0.
func (o Opinion) Points() float64 {
	if !o.Sure {
		return 0
	}
	for i := 1; i < len(certainties); i++ {
		a, b := certainties[i-1], certainties[i]
		if o.Spam <= b.spam {
			return a.points + (b.points-a.points)*(o.Spam-a.spam)/(b.spam-a.spam)
		}
	}
	return certainties[len(certainties)-1].points
}

// A Word is something that was seen in a message and what it counts.
type Word struct {
	Text   string  `json:"text"`   // for people: `subject "free money"`, `link to host "example.biz"`
	Weight float64 `json:"weight"` // of the logit; positive is for spam
}

// Score returns the opinion about a message for an account, or for nobody in particular when account
// is 0. With an error it is that of the model for all.
func (c *Classifier) Score(ctx context.Context, account mail.AccountID, t *Tokens) (Opinion, error) {
	if err := c.global.load(ctx); err != nil {
		return Opinion{Spam: 0.5}, err
	}
	var own *model
	var err error
	if account != 0 {
		own, err = c.account(ctx, account)
		if err != nil || !own.counted() {
			own = nil
		}
	}
	var s scoring
	logit := 0.0
	if c.global.enough() {
		logit = s.add(c.global, t)
	} else if own == nil || !own.enough() {
		return Opinion{Spam: 0.5}, err
	}
	if own != nil {
		logit += s.add(own, t)
	}
	return Opinion{Spam: probability(logit), Sure: true, For: s.spam.words(t, 1), Against: s.ham.words(t, -1)}, err
}

func probability(logit float64) float64 { return 1 / (1 + math.Exp(-steep*(logit-center))) }

// A scoring adds up what features count, and keeps the strongest.
type scoring struct{ spam, ham strongest }

// fewKnown keeps a handful of known features from making a strong opinion.
const fewKnown = 10

// add returns the logit of t by m, by the number of its features that m knows something of: mail from
// elsewhere has few, and by all its features its logit would say too little.
func (s *scoring) add(m *model, t *Tokens) float64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.slots == nil {
		return 0
	}
	var sum [views]float64
	var known [views]int
	scales, mask := m.scales(t), uint32(len(m.slots)-1)
	for i := range t.features {
		f := &t.features[i]
		if f.pair && !m.pairs {
			continue
		}
		w := m.slots[(f.hash^wholeMix)&mask].weight()
		if w != 0 {
			known[whole]++
			sum[whole] += w
			w *= wholeShare * scales[whole]
		}
		if m.pairs && t.words[f.word].origin.general() {
			if g := m.slots[f.hash&mask].weight(); g != 0 {
				known[general]++
				sum[general] += g
				w += generalShare * g * scales[general]
			}
		}
		if w > s.spam.least {
			s.spam.keep(f, w)
		} else if -w > s.ham.least {
			s.ham.keep(f, -w)
		}
	}
	for v := range sum {
		sum[v] /= math.Sqrt(float64(known[v]) + fewKnown)
	}
	return m.both(sum)
}

// Strongest are the features that count most, the first most of all.
type strongest struct {
	n     int
	least float64 // what another must count to be among them
	all   [topWords]struct {
		feature *feature
		weight  float64
	}
}

func (s *strongest) keep(f *feature, w float64) {
	at := min(s.n, topWords-1)
	for ; at > 0 && s.all[at-1].weight < w; at-- {
		s.all[at] = s.all[at-1]
	}
	s.all[at].feature, s.all[at].weight = f, w
	if s.n = min(s.n+1, topWords); s.n == topWords {
		s.least = s.all[topWords-1].weight
	}
}

func (s *strongest) words(t *Tokens, sign float64) []Word {
	if s.n == 0 {
		return nil
	}
	words := make([]Word, s.n)
	for i, x := range s.all[:s.n] {
		words[i] = Word{Text: t.text(*x.feature), Weight: sign * x.weight}
	}
	return words
}

// places are what origins are called.
var places = [...]string{originBody: "text", originHidden: "hidden text", originSubject: "subject", originFrom: "from",
	originReplyTo: "reply-to", originTo: "to", originHeader: "header", originMailer: "mailer", originID: "message-id", originType: "part",
	originList: "list", originURL: "link", originAddress: "address", originForm: "form", originClient: "client", originHop: "hop"}

// kinds are what kinds are called.
var kinds = [...]string{kindWord: "", kindAddress: "address", kindBoundary: "boundary like",
	kindCaps: "words in capitals, of 50:", kindCharset: "charset", kindCount: "number:", kindEncoding: "encoding", kindField: "field",
	kindFile: "file ending", kindHelo: "HELO", kindHost: "host", kindLocal: "local-part like", kindName: "name", kindNet: "network", kindOdd: "odd:", kindParts: "parts:", kindPath: "path",
	kindSame: "", kindScheme: "scheme", kindShape: "like", kindText: "length, in 20 words:", kindTld: "top-level domain", kindType: "type", kindValue: ""}

// text returns a feature for people.
func (t *Tokens) text(f feature) string {
	w := t.words[f.word]
	b := append(make([]byte, 0, 64), places[w.origin]...)
	if k := kinds[w.kind]; k != "" {
		b = append(append(b, ' '), k...)
	}
	b = append(b, ` "`...)
	if f.pair && f.word > 0 {
		b = append(t.appendWord(b, t.words[f.word-1]), ' ')
	}
	return string(append(t.appendWord(b, w), '"'))
}

const maxShown = 40 // bytes of a word that people are shown

// appendWord appends a stranger's word, without what would move a cursor or leave the line.
func (t *Tokens) appendWord(b []byte, w word) []byte {
	text := t.arena[w.at : w.at+uint32(w.length)]
	for n := len(b); len(text) > 0 && len(b)-n < maxShown; {
		r, size := utf8.DecodeRune(text)
		if r == '"' || !unicode.IsPrint(r) || r == utf8.RuneError {
			r = '?'
		}
		b = utf8.AppendRune(b, r)
		text = text[size:]
	}
	return b
}
