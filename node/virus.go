package node

import (
	"log/slog"
	"time"

	"posthaste/config"
	"posthaste/filter"
	"posthaste/filter/attachment"
	"posthaste/filter/virus"
	"posthaste/filter/virus/clamd"
	"posthaste/filter/virus/icap"
	"posthaste/mail"
	"posthaste/table"
)

// virusEngines returns the virus scanners that c names, each guarded. Both incoming and submitted mail is
// shown to them.
func virusEngines(c *config.Config, log *slog.Logger) ([]filter.Engine, error) {
	var engines []filter.Engine
	var wrong problems
	if s := c.Clamd; s.Address != "" {
		e, err := clamd.New(clamd.Config{Address: s.Address, MaxSize: int64(s.MaxSize), Connections: s.Connections, Policy: virusPolicy(s.Action, s.Unscanned)})
		wrong.add(c, "clamd.address", err)
		if err == nil {
			engines = append(engines, filter.NewGuard(e, time.Duration(s.Timeout), s.OnFailure == "defer", log))
		}
	}
	if s := c.ICAP; s.URL != "" {
		e, err := icap.New(icap.Config{URL: s.URL, Method: s.Method, MaxSize: int64(s.MaxSize), Connections: s.Connections, Policy: virusPolicy(s.Action, s.Unscanned)})
		wrong.add(c, "icap.url", err)
		if err == nil {
			engines = append(engines, filter.NewGuard(e, time.Duration(s.Timeout), s.OnFailure == "defer", log))
		}
	}
	return engines, wrong.err("")
}

func virusPolicy(found, unscanned string) virus.Policy {
	return virus.Policy{Found: actionOf(found), Unscanned: actionOf(unscanned)}
}

// actionOf returns the action of a word that the configuration has checked. "score" asks for none.
func actionOf(word string) mail.Action {
	if a, err := mail.ParseAction(word); err == nil {
		return a
	}
	return mail.Accept
}

// attachmentPolicy returns our own policy about attachments, nil where it is off. hashes is the table of
// c.Attachments.Hashes, or nil.
func attachmentPolicy(c *config.Config, hashes table.Table) *attachment.Policy {
	a := c.Attachments
	if !a.Enabled {
		return nil
	}
	return attachment.New(attachment.Config{
		Actions: map[attachment.Class]mail.Action{
			attachment.Executable: actionOf(a.Executable), attachment.Script: actionOf(a.Script), attachment.Disguise: actionOf(a.Disguise),
			attachment.Listed: actionOf(a.Listed), attachment.Macro: actionOf(a.Macro), attachment.Encrypted: actionOf(a.Encrypted),
			attachment.Active: actionOf(a.Active), attachment.Bomb: actionOf(a.Bomb),
		},
		Allow: a.Allow, Deny: a.Deny, Hashes: hashes,
		Depth: a.MaxDepth, Bytes: int64(a.MaxBytes), Entries: a.MaxFiles, Time: time.Duration(a.MaxTime),
	})
}
