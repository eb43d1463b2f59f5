package pipe

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"posthaste/mail"
)

// Defaults of Config.
const (
	defaultLimit      = 5
	defaultRecipients = 1
	defaultNullSender = "MAILER-DAEMON"
)

// perRecipient are the values that differ between recipients.
var perRecipient = []string{"recipient", "original_recipient", "user", "extension", "mailbox", "domain"}

// perMessage are the values that do not.
var perMessage = []string{"sender", "size", "queue_id", "nexthop", "client_address", "client_helo", "client_hostname",
	"client_protocol", "sasl_username"}

// macro is a value in a word: ${name}, $(name) or $name as Postfix takes them, or a dollar.
var macro = regexp.MustCompile(`\$(?:\{(\w+)\}|\((\w+)\)|(\w+)|\$|)`)

// A pipe is a Config that was checked.
type pipe struct{ Config }

func newPipe(cfg Config) (*pipe, error) {
	if cfg.Limit == 0 {
		cfg.Limit = defaultLimit
	}
	if cfg.Recipients == 0 {
		cfg.Recipients = defaultRecipients
	}
	if cfg.NullSender == "" {
		cfg.NullSender = defaultNullSender
	}
	p := &pipe{cfg}
	return p, p.check()
}

func (p *pipe) check() error {
	if p.Name == "" {
		return errors.New("it has no name")
	}
	if len(p.Command) == 0 || !filepath.IsAbs(p.Command[0]) {
		return fmt.Errorf("command %q: want the absolute path of a program, and its arguments", p.Command)
	}
	if p.Limit < 1 || p.Recipients < 1 || p.MaxSize < 0 || p.Timeout < 0 {
		return errors.New("a number is below what makes sense")
	}
	if i := strings.IndexFunc(p.Flags, func(c rune) bool { return !strings.ContainsRune(knownFlags, c) }); i >= 0 {
		return fmt.Errorf("flag %q: want letters of %s", p.Flags[i:i+1], knownFlags)
	}
	if p.Recipients > 1 && strings.ContainsAny(p.Flags, "DO") {
		return errors.New("flags D and O name the recipient, so recipients must be 1")
	}
	for i, word := range p.Command {
		for _, name := range names(word) {
			if i == 0 {
				return errors.New("the program itself cannot depend on the message")
			}
			if !slices.Contains(perRecipient, name) && !slices.Contains(perMessage, name) {
				return fmt.Errorf("there is no value ${%s}: want %s", name, strings.Join(slices.Concat(perRecipient, perMessage), " "))
			}
		}
	}
	return nil
}

// names returns the values that a word holds.
func names(word string) (list []string) {
	for _, m := range macro.FindAllStringSubmatch(word, -1) {
		if m[0] != "$$" {
			list = append(list, m[1]+m[2]+m[3])
		}
	}
	return list
}

// words fills in the values. A word with one that differs between recipients is there for each.
func (p *pipe) words(env *mail.Envelope, rcpts []mail.Recipient, size int) ([]string, error) {
	common := p.common(env, size)
	words := slices.Clone(p.Command[:1])
	for _, word := range p.Command[1:] {
		each := slices.ContainsFunc(names(word), func(n string) bool { return slices.Contains(perRecipient, n) })
		if !each {
			filled, err := fill(word, common, nil)
			if err != nil {
				return nil, err
			}
			words = append(words, filled)
			continue
		}
		for _, r := range rcpts {
			filled, err := fill(word, common, p.values(r))
			if err != nil {
				return nil, err
			}
			words = append(words, filled)
		}
	}
	return words, nil
}

// errOption is an address that would be taken for an option.
var errOption = errors.New("an address that begins with a hyphen")

// fill replaces the values of a word. What came from outside must not turn a word into an option.
func fill(word string, common, own map[string]string) (string, error) {
	filled := macro.ReplaceAllStringFunc(word, func(m string) string {
		if m == "$$" {
			return "$"
		}
		name := strings.Trim(m, "${}()")
		if v, ok := own[name]; ok {
			return v
		}
		return common[name]
	})
	if strings.HasPrefix(filled, "-") && !strings.HasPrefix(word, "-") {
		return "", errOption
	}
	return strings.ReplaceAll(filled, "\x00", "_"), nil
}

func (p *pipe) common(env *mail.Envelope, size int) map[string]string {
	sender := p.NullSender
	if !env.From.Null() {
		sender = p.address(env.From.Address)
	}
	client := ""
	if env.Origin.IP.IsValid() {
		client = env.Origin.IP.String()
	}
	return map[string]string{"sender": sender, "size": strconv.Itoa(size), "queue_id": string(env.ID), "nexthop": p.Name,
		"client_address": client, "client_helo": env.Origin.Helo, "client_hostname": env.Origin.Name,
		"client_protocol": env.Origin.Protocol, "sasl_username": env.Origin.Login}
}

func (p *pipe) values(r mail.Recipient) map[string]string {
	a := p.folded(r.Address)
	user, extension := a.Local, ""
	if i := strings.IndexByte(a.Local, p.Separator); p.Separator != 0 && i > 0 {
		user, extension = a.Local[:i], a.Local[i+1:]
	}
	return map[string]string{"recipient": p.address(a), "original_recipient": original(r), "user": user, "extension": extension,
		"mailbox": a.Local, "domain": a.Domain}
}

// folded is an address as the flags want it.
func (p *pipe) folded(a mail.Address) mail.Address {
	if strings.Contains(p.Flags, "u") {
		a.Local = strings.ToLower(a.Local)
	}
	if strings.Contains(p.Flags, "h") {
		a.Domain = strings.ToLower(a.Domain)
	}
	return a
}

// address prints a, quoted where flag q asks for it.
func (p *pipe) address(a mail.Address) string {
	if strings.Contains(p.Flags, "q") || a.Domain == "" {
		return a.String()
	}
	return a.Local + "@" + a.Domain
}

// original is the address the sender gave (RFC 3461 section 4.2).
func original(r mail.Recipient) string {
	if _, address, ok := strings.Cut(r.ORcpt, ";"); ok {
		return address
	}
	return r.Address.String()
}
