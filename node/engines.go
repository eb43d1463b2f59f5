package node

import (
	"fmt"
	"log/slog"

	"posthaste/config"
	"posthaste/filter"
	"posthaste/filter/hook"
	"posthaste/filter/rspamd"
	"posthaste/filter/spamd"
)

// remoteEngines returns the filters of others that a configuration names, each with its guard, in the
// order milters, rspamd, spamd, hooks. With outgoing, those that judge mail of our own users. What is
// wrong comes as problems of the configuration. Milters of stage session are those of sessionMilters, but
// mail of our own users they see as others do.
func remoteEngines(c *config.Config, outgoing bool, log *slog.Logger) ([]filter.Engine, error) {
	b := engineBuilder{cfg: c, outgoing: outgoing, log: log}
	for i, m := range c.Milters {
		if m.Stage == "session" && !outgoing {
			continue
		}
		e, err := milterSettings(c, m)
		b.problems.add(c, fmt.Sprintf("milter[%d].address", i), err)
		b.add(e, err, m.Submission, m.Timeout, m.OnFailure)
	}
	for i, r := range c.Rspamds {
		password := b.secret(fmt.Sprintf("rspamd[%d].password_file", i), r.Password)
		e, err := rspamd.New(rspamd.Config{Name: r.Name, URL: r.URL, Password: password, Settings: r.Settings,
			Follow: r.Mode == "action", Scale: float64(r.Scale) / 100})
		b.problems.add(c, fmt.Sprintf("rspamd[%d].url", i), err)
		b.add(e, err, r.Submission, r.Timeout, r.OnFailure)
	}
	for i, s := range c.Spamds {
		e, err := spamd.New(spamd.Config{Name: s.Name, Address: s.Address, User: s.User, MaxSize: int(s.MaxSize),
			Follow: s.Mode == "action", Scale: float64(s.Scale) / 100})
		b.problems.add(c, fmt.Sprintf("spamd[%d]", i), err)
		b.add(e, err, s.Submission, s.Timeout, s.OnFailure)
	}
	for i, h := range c.Hooks {
		e, err := hook.New(hook.Config{Name: h.Name, URL: h.URL, MaxContent: int(h.Content),
			Token:  b.secret(fmt.Sprintf("hook[%d].token_file", i), h.Token),
			Secret: b.secret(fmt.Sprintf("hook[%d].secret_file", i), h.Secret)})
		b.problems.add(c, fmt.Sprintf("hook[%d]", i), err)
		b.add(e, err, h.Submission, h.Timeout, h.OnFailure)
	}
	return b.engines, b.problems.err("")
}

// sessionMilters returns the milters of stage session, for mail of others.
func sessionMilters(c *config.Config, log *slog.Logger) (all []*sessionMilter, err error) {
	var problems problems
	for i, m := range c.Milters {
		if m.Stage != "session" {
			continue
		}
		client, err := milterSettings(c, m)
		problems.add(c, fmt.Sprintf("milter[%d].address", i), err)
		closed := m.OnFailure == "defer"
		all = append(all, &sessionMilter{Guard: filter.NewGuard(client, m.Timeout.D(), closed, log), client: client, timeout: m.Timeout.D()})
	}
	return all, problems.err("")
}

// An engineBuilder gathers guarded engines and what is wrong with their settings.
type engineBuilder struct {
	cfg      *config.Config
	outgoing bool
	log      *slog.Logger
	engines  []filter.Engine
	problems problems
}

func (b *engineBuilder) add(e filter.Engine, err error, submission bool, timeout config.Duration, onFailure string) {
	if err == nil && (submission || !b.outgoing) {
		b.engines = append(b.engines, filter.NewGuard(e, timeout.D(), onFailure == "defer", b.log))
	}
}

// secret reads the file of a key.
func (b *engineBuilder) secret(key, file string) string {
	text, err := secret(file)
	b.problems.add(b.cfg, key, err)
	return text
}
