package node

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"posthaste/auth/ban"
	"posthaste/config"
	"posthaste/smtpd"
)

// openBans makes the memory of who attacked, as it was left.
func (n *Node) openBans(ctx context.Context, c *config.Config) error {
	table, err := asnTable(c)
	if err != nil {
		return &config.Error{File: n.options.File, Problems: []config.Problem{c.Problem("ban.asn_table", "%v", err)}}
	}
	n.bans = ban.New(ban.Config{Rules: banRules(c), Exempt: banExempt(c), ASN: table, Accounts: n.directory, KV: n.kv,
		Trace: n.trace, Log: n.log})
	if err := n.bans.Load(ctx); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}

func asnTable(c *config.Config) (*ban.ASNTable, error) {
	if c.Ban.ASNTable == "" {
		return nil, nil
	}
	return ban.OpenASNTable(c.Ban.ASNTable)
}

func banExempt(c *config.Config) []netip.Prefix {
	return slices.Concat(c.Limits.Exempt, c.Ban.Allow)
}

func banRules(c *config.Config) ban.Rules {
	b := c.Ban
	r := ban.Rules{Window: b.Window.D(), First: b.Time.D(), Longest: max(b.MaxTime.D(), b.Time.D()), Devices: b.KnownDevices.D()}
	if !b.Enabled {
		return r
	}
	r.Limits[ban.WrongPassword], r.Limits[ban.UnknownLogin] = b.FailedLogins, b.UnknownLogins
	r.Limits[ban.Scan], r.Limits[ban.BadSession], r.Limits[ban.Probe] = b.Scans, b.BadSessions, b.Probes
	r.Limits[ban.UnknownRecipient] = b.UnknownRecipients
	r.Prefix, r.ASN, r.Login, r.Networks = b.Prefix, b.ASN, b.Login, b.LoginNetworks
	return r
}

// defend makes a server careful with strangers.
func defend(s *smtpd.Config, c *config.Config) {
	l := c.Limits
	s.Rates = smtpd.Rates{Connections: l.ConnectionRate, Messages: l.MessageRate, Recipients: l.RecipientRate,
		UnknownRecipients: l.UnknownRecipientRate, Wider: l.WiderRate}
	s.GreetDelay, s.EarlyTalk = l.GreetDelay.D(), smtpd.EarlyTalk(l.EarlyTalkers)
	s.Tarpit, s.TarpitAfter = l.Tarpit.D(), l.TarpitAfter
}
