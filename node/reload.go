package node

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"golang.org/x/sync/errgroup"

	"posthaste/config"
	"posthaste/wire"
)

// serving is what Run runs, for Reload to add to. Its group ends when ctx does.
type serving struct {
	group     *errgroup.Group
	ctx       context.Context
	listeners map[string]*wire.Handover // by listenKeys
}

func (n *Node) setServing(s *serving) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	n.serving = s
}

// Reload reads the configuration again and puts it into force as a whole, or changes nothing and says
// why not. Sessions and deliveries that have begun end under the configuration that they began with.
func (n *Node) Reload(ctx context.Context) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	s := n.serving
	if s == nil || n.options.Reread == nil {
		return errors.New("node: nothing runs that could be reloaded")
	}
	cfg, err := n.options.Reread()
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if err := n.reload(ctx, s, cfg); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	n.log.Info("the configuration was reloaded")
	return nil
}

// reload builds all that cfg asks for beside what runs, and only then changes over.
func (n *Node) reload(ctx context.Context, s *serving, cfg *config.Config) error {
	before := n.present()
	defer before.release()
	if err := restartNeeded(before.cfg, cfg); err != nil {
		return err
	}
	p, err := n.newPlan(ctx, cfg)
	if err != nil {
		return err
	}
	systems, err := asnTable(cfg)
	if err != nil {
		p.release()
		return err
	}
	fresh, err := n.open(cfg.Listen, s.listeners)
	if err != nil {
		p.release()
		return err
	}
	servers, err := n.servers(p)
	if err != nil {
		p.release()
		return errors.Join(err, fresh.close())
	}
	if err := errors.Join(n.queue.Configure(queuePolicy(cfg), queueLimits(cfg), p.shaping), n.dnsbl.Configure(p.lists)); err != nil {
		p.release()
		return errors.Join(err, fresh.close())
	}
	n.outflow.Configure(outflowLimits(cfg))
	n.bans.Configure(banRules(cfg), banExempt(cfg), systems)
	n.swap(p).release()
	n.serve(s, p, fresh, servers)
	n.retire(s, cfg)
	if n.options.Reloaded != nil {
		n.options.Reloaded(cfg)
	}
	return nil
}

// serve gives each listener of p its server. fresh are the listeners that have none yet.
func (n *Node) serve(s *serving, p *plan, fresh opened, servers []server) {
	for i, key := range listenKeys(p.cfg.Listen) {
		if h := fresh[i]; h != nil {
			s.listeners[key] = h
			s.group.Go(func() error { h.Run(); return nil })
			n.log.Info("listening", "service", p.cfg.Listen[i].Service, "address", h.Addr().String())
		}
		turn := s.listeners[key].Next()
		n.note(p.cfg.Listen[i].Service, turn.Addr().String())
		p.keep()
		s.group.Go(func() error {
			defer p.release()
			return servers[i].Serve(s.ctx, turn)
		})
	}
}

// retire closes the listeners that cfg no longer names; their sessions go on.
func (n *Node) retire(s *serving, cfg *config.Config) {
	named := map[string]bool{}
	for _, key := range listenKeys(cfg.Listen) {
		named[key] = true
	}
	for key, h := range s.listeners {
		if named[key] {
			continue
		}
		delete(s.listeners, key)
		n.log.Info("no longer listening", "address", h.Addr().String())
		if err := h.Retire(); err != nil {
			n.log.Warn("cannot close a listener", "address", h.Addr().String(), "err", err)
		}
	}
}

// restartNeeded names the settings that differ and that a running node cannot change.
func restartNeeded(before, after *config.Config) error {
	var errs []error
	for _, s := range []struct {
		key         string
		before, now any
	}{
		{"hostname", before.Hostname, after.Hostname},
		{"domain", before.LocalDomain(), after.LocalDomain()},
		{"data", before.Data, after.Data},
		{"user", before.User, after.User},
		{"store", before.Store, after.Store},
		{"account.separator", before.Account.Separator, after.Account.Separator},
		{"log.format", before.Log.Format, after.Log.Format},
		{"trace", before.Trace, after.Trace},
		{"drop", before.Drop, after.Drop},
		{"unix.trusted", before.Unix.Trusted, after.Unix.Trusted},
		{"tlsrpt", before.TLSRPT, after.TLSRPT},
		{"dmarc", before.DMARC, after.DMARC},
		{"helper", before.Helper, after.Helper},
		{"greylist", before.Greylist, after.Greylist},
		{"limits.exempt", before.Limits.Exempt, after.Limits.Exempt},
	} {
		if !reflect.DeepEqual(s.before, s.now) {
			errs = append(errs, fmt.Errorf("%s changed from %v to %v, which needs a restart", s.key, s.before, s.now))
		}
	}
	return errors.Join(errs...)
}
