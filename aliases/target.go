package aliases

import (
	"errors"
	"fmt"
	"strings"

	"posthaste/mail"
	"posthaste/smtp"
)

// MaxName is the longest name of an alias, in bytes.
const MaxName = 255

var (
	errColon = errors.New("no colon after the name of an alias")
	errSpace = errors.New("white space in an address: a comma divides targets, and a comment has a line of its own")
	errQuote = errors.New("a quote that nothing closes")
	errPath  = errors.New("want the whole path of a file, from the first slash on")
)

// cutName cuts an alias at the colon after its name, which may be quoted.
func cutName(text string) (name mail.Address, rest string, err error) {
	end := endOf(text, ':')
	if end < 0 {
		return name, "", errColon
	}
	written := strings.TrimSpace(text[:end])
	if name, err = parseAddress(written); err != nil {
		return name, "", fmt.Errorf("the name %s: %w", shown(written), err)
	}
	if len(name.Local) > MaxName {
		return name, "", fmt.Errorf("the name %s has %d bytes, %d are allowed", shown(name.Local), len(name.Local), MaxName)
	}
	name.Local = strings.ToLower(name.Local)
	return name, text[end+1:], nil
}

// endOf returns where the first c stands that is not in quotes, or -1.
func endOf(text string, c byte) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == c && !quoted:
			return i
		}
	}
	return -1
}

// quoteOpen tells whether text ends within quotes.
func quoteOpen(text string) bool {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '"':
			quoted = !quoted
		}
	}
	return quoted
}

// cutItem returns the first target of text and what follows its comma. What fails or defers takes its
// text up to the end.
func cutItem(text string) (item, rest string) {
	text = strings.TrimSpace(text)
	if hasKeyword(text, ":fail:") || hasKeyword(text, ":defer:") {
		return text, ""
	}
	end := endOf(text, ',')
	if end < 0 {
		return text, ""
	}
	return strings.TrimSpace(text[:end]), text[end+1:]
}

func hasKeyword(text, word string) bool {
	return len(text) >= len(word) && strings.EqualFold(text[:len(word)], word)
}

// special is what a target that is no plain address begins with.
const special = `|/:\`

// parseTarget reads one target.
func parseTarget(item string) (Target, error) {
	if len(item) > maxTarget {
		return Target{}, fmt.Errorf("%d bytes, %d are allowed", len(item), maxTarget)
	}
	if strings.IndexFunc(item, isControl) >= 0 {
		return Target{}, errors.New("a control character")
	}
	if quoteOpen(item) && !hasKeyword(item, ":fail:") && !hasKeyword(item, ":defer:") {
		return Target{}, errQuote
	}
	inner, whole := unquote(item)
	if whole && inner != "" && strings.IndexByte(special, inner[0]) >= 0 {
		return parseSpecial(inner)
	}
	if strings.IndexByte(special, item[0]) >= 0 {
		return parseSpecial(item)
	}
	address, err := parseAddress(item)
	return Target{Kind: Address, Address: address}, err
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// unquote returns what is in the quotes of text, and whether they hold the whole of it.
func unquote(text string) (inner string, whole bool) {
	if len(text) < 2 || text[0] != '"' {
		return text, false
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), i == len(text)-1
		case c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return text, false
}

// parseSpecial reads a target that is no plain address.
func parseSpecial(item string) (Target, error) {
	switch item[0] {
	case '|':
		return parseProgram(item[1:])
	case '/':
		return parseFile(item)
	case '\\':
		address, err := parseAddress(item[1:])
		return Target{Kind: Mailbox, Address: address}, err
	}
	for _, k := range [...]struct {
		word string
		kind Kind
	}{{":fail:", Fail}, {":defer:", Defer}, {":include:", Include}, {":blackhole:", Discard}} {
		if !hasKeyword(item, k.word) {
			continue
		}
		text := strings.TrimSpace(item[len(k.word):])
		if k.kind == Include {
			text, _ = unquote(text)
			if !strings.HasPrefix(text, "/") {
				return Target{}, errPath
			}
		}
		if k.kind == Discard {
			text = ""
		}
		return Target{Kind: k.kind, Text: text}, nil
	}
	return Target{}, errors.New("want :include:, :fail:, :defer: or :blackhole: after a colon")
}

func parseProgram(text string) (Target, error) {
	text = strings.TrimSpace(text)
	if inner, whole := unquote(text); whole {
		text = strings.TrimSpace(inner)
	}
	if text == "" {
		return Target{}, errors.New("no command after |")
	}
	return Target{Kind: Program, Text: text}, nil
}

func parseFile(path string) (Target, error) {
	if path == "/dev/null" {
		return Target{Kind: Discard}, nil
	}
	if strings.Trim(path, "/") == "" {
		return Target{}, errPath
	}
	return Target{Kind: File, Text: path}, nil
}

// parseAddress reads an address, alone or in angle brackets with a name before it. Without domain it
// is a name for whoever reads the file to complete.
func parseAddress(text string) (mail.Address, error) {
	if strings.HasSuffix(text, ">") {
		if i := endOf(text, '<'); i >= 0 {
			text = strings.TrimSpace(text[i+1 : len(text)-1])
		}
	}
	if text == "" {
		return mail.Address{}, errors.New("no address")
	}
	if endOf(text, '@') >= 0 {
		return wellPut(smtp.ParseAddress(text))
	}
	if text[0] == '"' {
		inner, whole := unquote(text)
		if !whole {
			return mail.Address{}, errQuote
		}
		return mail.Address{Local: inner}, checkName(inner)
	}
	if strings.ContainsAny(text, " \t") {
		return mail.Address{}, errSpace
	}
	return mail.Address{Local: text}, checkName(text)
}

// wellPut leaves the reply codes out of an error.
func wellPut(a mail.Address, err error) (mail.Address, error) {
	var s *mail.Status
	if errors.As(err, &s) {
		err = errors.New(s.Text)
	}
	return a, err
}

// checkName takes any name that a user or alias can have.
func checkName(name string) error {
	switch {
	case name == "" || len(name) > MaxName:
		return fmt.Errorf("want a name of 1 to %d bytes", MaxName)
	case strings.IndexFunc(name, isControl) >= 0:
		return errors.New("a control character")
	}
	return nil
}

// String returns t as it stands in an alias file.
func (t Target) String() string {
	switch t.Kind {
	case Mailbox:
		return quoted(`\` + t.Address.String())
	case Program:
		return quoted("|" + t.Text)
	case File:
		return quoted(t.Text)
	case Include:
		return quoted(":include:" + t.Text)
	case Fail:
		return strings.TrimSpace(":fail: " + t.Text)
	case Defer:
		return strings.TrimSpace(":defer: " + t.Text)
	case Discard:
		return ":blackhole:"
	}
	text := t.Address.String()
	if name := t.Address.Local; name == "" || strings.IndexByte(special+"#", name[0]) >= 0 {
		return "<" + text + ">"
	}
	return text
}

// quoted puts text in quotes where it needs them.
func quoted(text string) string {
	if !strings.ContainsAny(text, " \t\",()\\") {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}
