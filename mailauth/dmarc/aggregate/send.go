package aggregate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"time"

	"posthaste/kv"
	"posthaste/mail"
	"posthaste/mailauth/dmarc"
)

// send sends the reports of past days whose time has come, and drops days that are too old.
func (c *Collector) send(ctx context.Context, now time.Time) error {
	var days []string
	err := c.cfg.Store.Partitions(ctx, "dmarc/out/", func(p kv.Partition) error {
		days = append(days, strings.TrimPrefix(string(p), "dmarc/out/"))
		return nil
	})
	if err != nil {
		return err
	}
	for _, day := range days {
		start, err := time.Parse(dayLayout, day)
		if err != nil {
			continue
		}
		end := start.Add(24 * time.Hour)
		switch {
		case now.Sub(end) > keepUnsent:
			err = c.cfg.Store.Drop(ctx, partition(day))
		case now.After(end):
			err = c.sendDay(ctx, day, end, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Collector) sendDay(ctx context.Context, day string, end, now time.Time) error {
	domains, err := c.due(ctx, day, end, now)
	if err != nil {
		return err
	}
	for _, domain := range domains {
		if ctx.Err() != nil {
			return nil
		}
		if err := c.sendOne(ctx, day, domain, now); err != nil {
			c.cfg.Log.Warn("DMARC report not sent", "domain", domain, "reason", err)
		}
	}
	return nil
}

// due lists the domains of a day whose report is to be sent now: each at its own time, so that not all
// reports of all senders reach a domain at midnight.
func (c *Collector) due(ctx context.Context, day string, end, now time.Time) ([]string, error) {
	var domains []string
	err := c.cfg.Store.View(ctx, partition(day), func(r kv.Reader) error {
		domains = domains[:0]
		prefix := headKey("")
		seq, errf := r.Scan(prefix, kv.PrefixEnd(prefix), false)
		for key := range seq {
			domain := string(key[len(prefix):])
			if !now.Before(end.Add(c.delay(domain))) {
				domains = append(domains, domain)
			}
		}
		return errf()
	})
	return domains, err
}

func (c *Collector) delay(domain string) time.Duration {
	h := fnv.New64a()
	io.WriteString(h, c.cfg.Hostname+" "+domain)
	return settle + time.Duration(h.Sum64()%uint64(spread))
}

// sendOne claims, sends and closes one report. A crash in between leads to a second copy with the same
// report ID after the claim has ended.
func (c *Collector) sendOne(ctx context.Context, day, domain string, now time.Time) error {
	var mine head
	won := false
	err := c.change(ctx, day, domain, func(h *head) {
		won = !h.Done && now.Sub(h.Claimed) >= claim
		if won {
			h.Claimed = now
		}
		mine = *h
	})
	if err != nil || !won {
		return err
	}
	to, err := dmarc.Destinations(ctx, c.cfg.Resolver, domain, mine.Record, dmarc.AggregateReport)
	if err != nil && len(to) == 0 {
		return err
	}
	if len(to) > 0 {
		if err := c.deliver(ctx, day, domain, mine, to); err != nil {
			return err
		}
	}
	return c.close(ctx, day, domain, now)
}

func (c *Collector) change(ctx context.Context, day, domain string, fn func(*head)) error {
	_, err := c.cfg.Store.Update(ctx, partition(day), func(tx kv.Txn) error {
		tx.Quiet()
		h, err := readHead(tx, domain)
		if err != nil {
			return err
		}
		fn(&h)
		return put(tx, headKey(domain), h)
	})
	return err
}

// close forgets the rows of a report that is done with.
func (c *Collector) close(ctx context.Context, day, domain string, now time.Time) error {
	_, err := c.cfg.Store.Update(ctx, partition(day), func(tx kv.Txn) error {
		tx.Quiet()
		prefix := rowsPrefix(domain)
		tx.DeleteRange(prefix, kv.PrefixEnd(prefix))
		return put(tx, headKey(domain), head{Done: true, Claimed: now})
	})
	return err
}

// deliver puts a report into the queue for every address. When one of them took it the report is sent:
// the others are not tried again, so that none gets copies because of another.
func (c *Collector) deliver(ctx context.Context, day, domain string, h head, to []mail.Address) error {
	r, err := c.report(ctx, day, domain, h)
	if err != nil || len(r.Rows) == 0 {
		return err
	}
	packed, err := r.pack()
	if err != nil {
		return err
	}
	var problems []error
	for _, address := range to {
		env := mail.Envelope{
			ID: c.cfg.Queue.NewID(), From: mail.ReversePath{Address: c.cfg.From}, Received: time.Now(),
			Recipients: []mail.Recipient{{Address: address, Notify: mail.NotifyNever}},
		}
		if _, err := c.cfg.Queue.Put(ctx, env, mail.Bytes(c.compose(r, address, packed))); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", address, err))
		}
	}
	if len(problems) < len(to) {
		return nil
	}
	return errors.Join(problems...)
}

// report makes the Report about a domain and day.
func (c *Collector) report(ctx context.Context, day, domain string, h head) (Report, error) {
	start, _ := time.Parse(dayLayout, day) // send has read it before
	r := Report{
		Organization: c.cfg.Organization, Email: c.cfg.Contact, ID: day + "_" + domain + "@" + c.cfg.Hostname,
		Begin: start, End: start.Add(24*time.Hour - time.Second), Error: strings.Join(h.Record.Problems, "; "),
		Generator: c.cfg.Generator, Policy: published(domain, h.Record), Omitted: h.Omitted,
	}
	err := c.cfg.Store.View(ctx, partition(day), func(reader kv.Reader) error {
		r.Rows = r.Rows[:0]
		prefix := rowsPrefix(domain)
		seq, errf := reader.Scan(prefix, kv.PrefixEnd(prefix), false)
		for _, value := range seq {
			var row Row
			if err := json.Unmarshal(value, &row); err != nil {
				return fmt.Errorf("aggregate: read a row of %s: %w", domain, err)
			}
			r.Rows = append(r.Rows, row)
		}
		return errf()
	})
	if r.Omitted > 0 {
		r.Error = strings.TrimPrefix(r.Error+fmt.Sprintf("; %d messages beyond %d rows are left out", r.Omitted, maxDomain), "; ")
	}
	return r, err
}
