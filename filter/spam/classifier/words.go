package classifier

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Shapes of words.
const (
	longWord = 20 // runes; longer words are folded to what they look like
	maxShape = 24 // bytes of a shape
)

// What a byte of ASCII is to a word.
const (
	breaks  = iota // ends a word
	letter         // belongs to it, upper case folded
	digit          // belongs to it as "0": which number it is matters less than that it is one
	joiner         // belongs to it between two letters or digits
	mark           // is a word of its own
	at             // begins the host of an address
	outside        // begins a rune beyond ASCII
)

// class tells what each byte is.
var class = func() (c [256]uint8) {
	for i := range c {
		switch b := byte(i); {
		case b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z':
			c[i] = letter
		case b >= '0' && b <= '9':
			c[i] = digit
		case b == '\'' || b == '-' || b == '.' || b == ',' || b == '_':
			c[i] = joiner
		case b == '$' || b == '!' || b == '%' || b == '?' || b == '*' || b == '#' || b == '=':
			c[i] = mark
		case b == '@':
			c[i] = at
		case b >= utf8.RuneSelf:
			c[i] = outside
		}
	}
	return c
}()

// text adds the words of s, in order and paired with their neighbours.
func (t *tokenizer) text(o origin, s string) {
	t.breakPairs()
	for i := 0; i < len(s) && !t.full(); {
		switch class[s[i]] {
		case letter:
			if n := urlAt(s[i:]); n > 0 {
				t.url(s[i : i+n])
				i += n
				continue
			}
			i = t.word(o, s, i)
		case digit, outside:
			i = t.word(o, s, i)
		case mark:
			n := 1
			for n < 3 && i+n < len(s) && s[i+n] == s[i] {
				n++
			}
			t.begin()
			t.arena = append(t.arena, s[i:i+n]...)
			t.endWord(o)
			for i += n; i < len(s) && s[i] == s[i-1]; i++ {
			}
		case at:
			i = t.host(s, i)
		default:
			i++
		}
	}
}

// word adds the word that begins at s[i] and returns where it ends.
func (t *tokenizer) word(o origin, s string, i int) int {
	start, runes, upper, lower := i, 0, 0, 0
	t.begin()
	for i < len(s) && runes <= 4*longWord {
		b := s[i]
		switch class[b] {
		case letter:
			if b < 'a' {
				upper++
				b += 'a' - 'A'
			} else {
				lower++
			}
			t.arena = append(t.arena, b)
			i++
		case digit:
			t.arena = append(t.arena, '0')
			i++
		case joiner:
			if i+1 >= len(s) || class[s[i+1]] != letter && class[s[i+1]] != digit {
				goto done
			}
			// Between letters only what keeps a word together does; between digits also what parts numbers.
			if (b == '.' || b == ',') && (class[s[i+1]] != digit || i == start || class[s[i-1]] != digit) {
				goto done
			}
			t.arena = append(t.arena, b)
			i++
		case outside:
			r, n := utf8.DecodeRuneInString(s[i:])
			if !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) {
				if i == start {
					i += n
				}
				goto done
			}
			if wide(r) { // a script without spaces: every rune is a word, and pairs do the rest
				if i == start {
					t.arena = utf8.AppendRune(t.arena, r)
					runes++
					i += n
				}
				goto done
			}
			t.arena = utf8.AppendRune(t.arena, unicode.ToLower(r))
			i += n
		default:
			goto done
		}
		runes++
	}
done:
	if upper > 3 && lower == 0 {
		t.caps++
	}
	if runes > 0 {
		t.count++
	}
	if runes > longWord {
		t.foldLong(runes)
	}
	t.endWord(o)
	return i
}

// foldLong replaces the word at the end of the arena by its first letter and its length, in steps.
func (t *tokenizer) foldLong(runes int) {
	word := t.arena[t.start:]
	first, _ := utf8.DecodeRune(word)
	t.arena = utf8.AppendRune(append(t.arena[:t.start], "long:"...), first)
	t.arena = append(t.arena, '0'+byte(min(runes/10, 9)))
}

// wide tells whether r belongs to a script that writes no spaces between words.
func wide(r rune) bool {
	return r >= 0x0e00 && r < 0x0f00 || r >= 0x2e80 && r < 0xa4d0 || r >= 0xac00 && r < 0xd7b0 || r >= 0x20000 && r < 0x32000
}

// host adds the host after the "@" at s[i] and returns where it ends.
func (t *tokenizer) host(s string, i int) int {
	end := i + 1
	for end < len(s) && (class[s[end]] == letter || class[s[end]] == digit || s[end] == '-' || s[end] == '.') {
		end++
	}
	if host := strings.Trim(s[i+1:end], ".-"); strings.Contains(host, ".") {
		t.domain(originAddress, host)
		return end
	}
	return i + 1
}

// urlAt returns how long the URL is that s begins with, or 0 when it begins with none.
func urlAt(s string) int {
	if len(s) < 8 {
		return 0
	}
	switch s[0] | 0x20 {
	case 'h':
		if s[4] != ':' && s[5] != ':' || !strings.EqualFold(s[:4], "http") {
			return 0
		}
	case 'w':
		if s[3] != '.' || !strings.EqualFold(s[:3], "www") {
			return 0
		}
	default:
		return 0
	}
	n := 0
	for n < len(s) && n < maxURL && s[n] > ' ' && s[n] < 0x7f && s[n] != '<' && s[n] != '>' && s[n] != '"' && s[n] != ')' {
		n++
	}
	return n
}

// maxURL bounds what is read of a URL.
const maxURL = 512

// url adds what a URL tells: its host and the domains above it, and what is odd about it.
func (t *tokenizer) url(s string) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		rest, scheme = s, "http"
	}
	if len(scheme) == 5 {
		t.add(originURL, kindScheme, "https")
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, path := rest[:end], rest[end:]
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		t.add(originURL, kindOdd, "user")
		host = host[i+1:]
	}
	if h, port, ok := strings.Cut(host, ":"); ok {
		if port != "80" && port != "" {
			t.add(originURL, kindOdd, "port")
		}
		host = h
	}
	if strings.IndexByte(rest, '%') >= 0 {
		t.add(originURL, kindOdd, "percent")
	}
	if host != "" && strings.Trim(host, "0123456789.") == "" {
		t.add(originURL, kindOdd, "number")
	} else {
		t.domain(originURL, host)
	}
	t.path(path)
	t.breakPairs()
}

// path adds the words of a URL's path.
func (t *tokenizer) path(path string) {
	for n := 0; n < 6 && path != ""; n++ {
		i := strings.IndexAny(path[1:], "/?&=.#;+")
		part := path[1:]
		if i >= 0 {
			part, path = path[1:1+i], path[1+i:]
		} else {
			path = ""
		}
		if len(part) >= 2 && len(part) <= longWord {
			t.begin()
			t.appendFolded(part)
			t.end(originURL, kindPath)
		}
	}
}

// domain adds a host name and the names above it, down to two labels.
func (t *tokenizer) domain(o origin, host string) {
	host = strings.Trim(host, ".")
	if len(host) > 255 {
		host = host[len(host)-255:]
	}
	for n := 0; n < 4 && strings.IndexByte(host, '.') >= 0; n++ {
		t.begin()
		t.appendFolded(host)
		t.end(o, kindHost)
		host = host[strings.IndexByte(host, '.')+1:]
	}
	if host != "" {
		t.add(o, kindTld, host)
	}
}

// appendFolded appends s to the word being made, lower case and digits as "0".
func (t *tokenizer) appendFolded(s string) {
	for i := range len(s) {
		b := s[i]
		switch class[b] {
		case letter:
			b |= 0x20
		case digit:
			b = '0'
		}
		t.arena = append(t.arena, b)
	}
}

// shape adds s as what it looks like: runs of letters as "a" or "A", of digits as "0", all else as it is.
func (t *tokenizer) shape(o origin, k kind, s string) {
	t.begin()
	last := byte(0)
	for i := 0; i < len(s) && len(t.arena)-t.start < maxShape; i++ {
		b := s[i]
		switch {
		case b >= 'a' && b <= 'z':
			b = 'a'
		case b >= 'A' && b <= 'Z':
			b = 'A'
		case b >= '0' && b <= '9':
			b = '0'
		}
		if b == last && (b == 'a' || b == 'A' || b == '0') {
			continue
		}
		t.arena = append(t.arena, b)
		last = b
	}
	t.end(o, k)
}
