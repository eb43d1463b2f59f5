package lookalike

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// twins are letters that look like those of ASCII, each before what it looks like. Letters with marks are
// not here: their marks are taken off.
const twins = "аaеeоoрpсcуyхxіlјjѕsԁdһhԛqԝwӏlвbкkмmнhтtпnгrьbзeбbѵvґr" + // Cyrillic
	"αaοoρpνvυuιlκkτtχxγyηnωwεeβbμuσoϲcϳjζz" + // Greek
	"ıl łl øo đd ħh ŧt ɡg ɑa ɩl ʟl ʏy ɴn ʀr ѡw ꞓc ȷj ƅb ƽs ɵo ßb æa œo þp ðd" + // Latin
	"0o1l3e5s|l!lil"

// pairs of letters that look like one.
var pairs = strings.NewReplacer("rn", "m", "vv", "w", "cl", "d", "nn", "m")

// Skeleton returns what s looks like: equal for texts that can be taken for each other. It is for comparing
// and never shown.
func Skeleton(s string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToLower(s)) {
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r) {
			continue
		}
		b.WriteRune(twin(r))
	}
	return pairs.Replace(b.String())
}

// twinOf is twins as a map. It never changes.
var twinOf = func() map[rune]rune {
	m := map[rune]rune{}
	letters := []rune(strings.ReplaceAll(twins, " ", ""))
	for i := 0; i+1 < len(letters); i += 2 {
		m[letters[i]] = letters[i+1]
	}
	return m
}()

// twin returns the letter that r looks like.
func twin(r rune) rune {
	if t, ok := twinOf[r]; ok {
		return t
	}
	return r
}

// Unicode returns a domain as people see it: A-labels decoded.
func Unicode(domain string) string {
	if !strings.Contains(domain, "xn--") {
		return domain
	}
	u, _ := idna.Punycode.ToUnicode(domain) // what cannot be decoded stays
	return u
}

// scripts are those whose letters look alike.
var scripts = [...]*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek}

// Mixed tells whether a word has letters of several alphabets that look alike. Nobody writes so but to
// deceive.
func Mixed(word string) bool {
	seen := 0
	for _, s := range scripts {
		if strings.ContainsFunc(word, func(r rune) bool { return unicode.Is(s, r) }) {
			seen++
		}
	}
	return seen > 1
}

// Disguised tells whether a label is written in another alphabet and looks as if it were ASCII.
func Disguised(label string) bool {
	foreign := false
	for _, r := range label {
		if r < 0x80 {
			continue
		}
		if unicode.Is(unicode.Latin, r) || twin(r) == r || twin(r) >= 0x80 {
			return false
		}
		foreign = true
	}
	return foreign
}
