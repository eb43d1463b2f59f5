package node

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"posthaste/config"
	"posthaste/filter"
	"posthaste/filter/dlp"
	"posthaste/mail"
	"posthaste/submit"
)

// dlpEngine returns the engine that goes by the rules of [[dlp]], or nil where there are none.
func (p *plan) dlpEngine(c *config.Config) (filter.Engine, error) {
	if len(c.DLP) == 0 {
		return nil, nil
	}
	rules := make([]dlp.Rule, len(c.DLP))
	var problems problems
	for i, r := range c.DLP {
		rules[i] = dlp.Rule{Name: r.Name, Cards: slices.Contains(r.Detect, "card"), IBANs: slices.Contains(r.Detect, "iban"),
			Patterns: r.Patterns, Documents: r.Documents, Share: float64(r.Share) / 100, Count: r.Count,
			Senders: r.Senders, Outside: r.Outside, Action: dlp.Action(r.Action), Advice: r.Advice}
		for _, d := range r.Detect {
			if d != "card" && d != "iban" {
				problems.add(c, fmt.Sprintf("dlp[%d].detect", i), fmt.Errorf("%q is none of card and iban", d))
			}
		}
		_, err := dlp.New(dlp.Config{Rules: rules[i : i+1]})
		problems.add(c, fmt.Sprintf("dlp[%d]", i), err)
	}
	if err := problems.err(p.node.options.File); err != nil {
		return nil, err
	}
	engine, err := dlp.New(dlp.Config{Rules: rules, Documents: p.node.documents, Ours: p.isOurs})
	if err != nil {
		return nil, err
	}
	return engine, nil
}

// isOurs tells whether mail for an address stays with us.
func (p *plan) isOurs(ctx context.Context, a mail.Address) (bool, error) {
	target, err := p.people.Resolve(ctx, a)
	return target.Kind.Ours(), err
}

// maxDisclaimer bounds a file that holds a disclaimer, in bytes.
const maxDisclaimer = 64 << 10

// readDisclaimers returns the texts of [[disclaimer]].
func readDisclaimers(c *config.Config, file string) ([]submit.Disclaimer, error) {
	var problems problems
	failed := false
	read := func(key, text, path string) string {
		if path == "" {
			return text
		}
		b, err := os.ReadFile(path)
		if err == nil && len(b) > maxDisclaimer {
			err = fmt.Errorf("%s has %d bytes, of at most %d", path, len(b), maxDisclaimer)
		}
		if err == nil && text != "" {
			err = fmt.Errorf("both the text and a file are given: leave out one")
		}
		problems.add(c, key, err)
		failed = failed || err != nil
		return string(b)
	}
	var all []submit.Disclaimer
	for i, d := range c.Disclaimers {
		key := fmt.Sprintf("disclaimer[%d]", i)
		text, markup := read(key+".text_file", d.Text, d.TextFile), read(key+".html_file", d.HTML, d.HTMLFile)
		if failed {
			continue
		}
		one, err := submit.NewDisclaimer(d.Domain, text, markup)
		problems.add(c, key, err)
		if slices.ContainsFunc(all, func(o submit.Disclaimer) bool { return o.Domain == one.Domain }) {
			problems.add(c, key, fmt.Errorf("there is a disclaimer for %s already", cmp.Or(one.Domain, strings.ToLower(d.Domain))))
		}
		all = append(all, one)
	}
	return all, problems.err(file)
}
