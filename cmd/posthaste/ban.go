package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"posthaste/admin"
	"posthaste/auth/ban"
	"posthaste/config"
)

type banCommands struct {
	List   banList   `cmd:"" help:"List who is banned, why and until when, the latest first."`
	Add    banAdd    `cmd:"" help:"Ban a network, a system or unknown devices of a login."`
	Remove banRemove `cmd:"" help:"End bans, and forget what led to them."`
	Export banExport `cmd:"" help:"Print the bans as a script for nft, in one transaction: posthaste ban export | nft -f -"`
}

type banList struct{}

func (c *banList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		t := e.out.table("SUBJECT", "SINCE", "UNTIL", ">TIMES", ">HITS", "REASON")
		now := time.Now()
		for b, err := range admin.List[ban.Ban](e.ctx, client, "ban/list", struct{}{}) {
			if err != nil {
				return err
			}
			if e.out.json {
				e.out.object(b)
				continue
			}
			until, times := "removed", "-"
			if !b.Until.IsZero() {
				until = timeText(b.Until, now)
			}
			if b.Times > 0 {
				times = strconv.Itoa(b.Times)
			}
			t.row(oneLine(b.Subject.String()), timeText(b.Since, now), until, times, strconv.FormatInt(b.Hits, 10), b.Reason)
		}
		t.print("nobody is banned")
		return nil
	})
}

type banAdd struct {
	Subject string          `arg:"" help:"An address, a prefix as 192.0.2.0/24, a system as AS64500, or login:ADDRESS."`
	For     config.Duration `help:"How long, as 30m, 6h, 1d; 0s is until it is removed." default:"1d"`
	Reason  string          `help:"Why, which clients are told too." placeholder:"TEXT"`
}

func (c *banAdd) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		b, err := admin.Call[ban.Ban](e.ctx, client, "ban/add", admin.BanRequest{Subject: c.Subject, For: c.For.D(), Reason: c.Reason})
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(b)
		}
		until := "until it is removed"
		if !b.Until.IsZero() {
			until = "until " + b.Until.Local().Format("2006-01-02 15:04:05")
		}
		if c.Reason != "" {
			until += ": " + b.Reason
		}
		e.out.say("%s is banned %s", b.Subject, until)
		return nil
	})
}

type banRemove struct {
	Subjects []string `arg:"" name:"subject" help:"Who, as list shows it."`
}

func (c *banRemove) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		for _, who := range c.Subjects {
			if _, err := admin.Call[struct{}](e.ctx, client, "ban/remove", admin.BanRequest{Subject: who}); err != nil {
				return err
			}
			e.out.say("%s is no longer banned", who)
		}
		return nil
	})
}

type banExport struct {
	Sets string `help:"Family, table and name of the sets, 4 and 6 being added to the name. Default: ban.nftables." placeholder:"\"inet filter posthaste\""`
	NFT  bool   `name:"nft" help:"As a script for nft, the only form there is."`
}

func (c *banExport) Run(e *env) error {
	sets := c.Sets
	if sets == "" {
		cfg, err := e.loadConfig()
		if err != nil {
			return err
		}
		sets = cfg.Ban.NFTables
	}
	table, set, found := cutLast(sets)
	if !found {
		return fmt.Errorf("%q is not family, table and name, as \"inet filter posthaste\"", sets)
	}
	return e.withAdmin(func(client *admin.Client) error {
		got, err := admin.Call[admin.BanExport](e.ctx, client, "ban/export", admin.BanExportRequest{Table: table, Set: set})
		if err == nil {
			fmt.Fprint(e.out.w, got.Script)
		}
		return err
	})
}

// cutLast cuts s around its last space.
func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
