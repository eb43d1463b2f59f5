package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"posthaste/config"
	"posthaste/dns"
	"posthaste/filter/dnsbl"
)

// buildDNSBL reads the definitions of lists in the DNS.
func (p *plan) buildDNSBL(context.Context) error {
	var problems problems
	for i, d := range p.cfg.DNSBLs {
		list, err := listOf(d)
		if err == nil {
			err = dnsbl.Validate([]dnsbl.Config{list})
		}
		problems.add(p.cfg, fmt.Sprintf("dnsbl[%d]", i), err)
		p.lists = append(p.lists, list)
	}
	if len(problems) == 0 {
		problems.add(p.cfg, "dnsbl[0]", dnsbl.Validate(p.lists))
	}
	return problems.err(p.node.options.File)
}

// listOf returns the list of a section: that of the known list of its name with what the section changes.
func listOf(d config.DNSBL) (c dnsbl.Config, err error) {
	known, isKnown := dnsbl.Known(d.Name)
	c = known.Config
	if d.Zone == "" && !isKnown {
		return c, errors.New("zone is missing: only the lists that posthaste dnsbl list --known names need none")
	}
	c.Name, c.Zone, c.Weight, c.Timeout = d.Name, cmp.Or(d.Zone, c.Zone), float64(d.Weight), d.Timeout.D()
	c.Allow, c.Host, c.Private = c.Allow || d.Allow, c.Host || d.Host, d.Private
	switch d.Kind {
	case "":
	case "ip", "domain":
		c.Domains = d.Kind == "domain"
	default:
		return c, fmt.Errorf("kind %q is neither ip nor domain", d.Kind)
	}
	if len(d.Asks) > 0 {
		c.Asks = nil
	}
	for _, role := range d.Asks {
		c.Asks = append(c.Asks, dnsbl.Role(role))
	}
	if len(d.Codes) > 0 {
		c.Codes = nil
	}
	for _, text := range d.Codes {
		code, err := dnsbl.ParseCode(text)
		if err != nil {
			return c, err
		}
		c.Codes = append(c.Codes, code)
	}
	return c, readListTest(&c.Test, d.Test)
}

// readListTest reads "", "off" or "LISTED UNLISTED".
func readListTest(t *dnsbl.Test, text string) error {
	words := strings.Fields(text)
	switch {
	case len(words) == 0:
	case len(words) == 1 && words[0] == "off":
		*t = dnsbl.Test{Off: true}
	case len(words) == 2:
		*t = dnsbl.Test{Listed: words[0], Unlisted: words[1]}
	default:
		return fmt.Errorf("test %q is neither off nor two entries: one that is listed, one that is not", text)
	}
	return nil
}

// A returns the IPv4 addresses of a host.
func (r presentNames) A(ctx context.Context, host string) (dns.Answer[netip.Addr], error) {
	p := r.node.present()
	defer p.release()
	return p.resolver.A(ctx, host)
}
