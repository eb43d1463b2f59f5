package submit

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"posthaste/auth"
	"posthaste/directory"
	"posthaste/mail"
	"posthaste/message"
)

// A Rewriter changes addresses of mail of our own users and machines, as *rewrite.Rewriter does.
type Rewriter interface {
	// Envelope returns env rewritten, with recipients of blind copies after those that were there.
	Envelope(ctx context.Context, env mail.Envelope) (mail.Envelope, error)
	// Header returns content with the addresses in its header rewritten.
	Header(ctx context.Context, content mail.Content) (mail.Content, error)
}

// A Resolver tells where an address leads, as *directory.Layers does.
type Resolver interface {
	Resolve(ctx context.Context, address mail.Address) (directory.Target, error)
}

// Recipients knows whether those who are ours can get mail, as *local.Agent does.
type Recipients interface {
	CheckRecipient(ctx context.Context, to mail.Address) error
}

// CheckRecipient refuses at once what can never arrive: recipients of ours that do not exist or have gone
// elsewhere (551). Answer is a 251 to give in the place of 250, or nil. Who has no room now may have when
// the queue comes to it, so that is no reason.
func (s *Submitter) CheckRecipient(ctx context.Context, who auth.Identity, to mail.Address) (answer *mail.Status, err error) {
	if s.cfg.Directory == nil {
		return nil, nil
	}
	to = s.complete(who, to)
	target, err := s.cfg.Directory.Resolve(ctx, to)
	switch {
	case err != nil:
		return nil, fmt.Errorf("submit: resolve %s: %w", to, err)
	case target.Kind == directory.KindMoved && target.Status != nil && target.Status.OK():
		return target.Status, nil
	case target.Kind == directory.KindMoved && target.Status != nil:
		return nil, target.Status
	case !target.Kind.Ours() || s.cfg.Local == nil:
		return nil, nil
	}
	return nil, s.cfg.Local.CheckRecipient(ctx, to)
}

// A Fate is what was decided about one recipient at RCPT: why its mail is to be put on hold, or why it is
// dropped. The zero Fate is ordinary delivery.
type Fate struct{ Hold, Discard string }

// Relay takes mail from a machine that may send to anybody without a login, and in any name: printers,
// other servers of ours, cron. It is groomed as that of users is, but neither sender nor author must be
// anybody's; fates belong to env.Recipients, in their order, or are empty. The error is a *mail.Status
// where the client can do something about it.
func (s *Submitter) Relay(ctx context.Context, env mail.Envelope, fates []Fate, content mail.Content) (mail.QueueID, error) {
	nobody := auth.Identity{}
	env.From.Address = s.complete(nobody, env.From.Address)
	env.Recipients = s.completeRecipients(nobody, env.Recipients)
	if env.Received.IsZero() {
		env.Received = time.Now()
	}
	if env.ID == "" {
		env.ID = s.cfg.Queue.NewID()
	}
	h := message.ParseHeader(content.Bytes())
	if err := s.checkForm(env, h); err != nil {
		return "", err
	}
	env.TLSOptional = !env.RequireTLS && message.TLSOptional(h)
	groomed := mail.Bytes(s.disclaim(env, s.groomRelayed(env, h, content.Bytes())))
	plain, held := divide(env, fates)
	for reason, env := range held {
		env.ID = s.cfg.Queue.NewID()
		if err := s.put(ctx, env, groomed, reason); err != nil {
			return "", err
		}
	}
	if len(plain.Recipients) == 0 {
		return env.ID, nil
	}
	return env.ID, s.put(ctx, plain, groomed, "")
}

// divide returns env for ordinary recipients, and for each reason to hold mail.
func divide(env mail.Envelope, fates []Fate) (plain mail.Envelope, held map[string]mail.Envelope) {
	all := env.Recipients
	plain, held = env, map[string]mail.Envelope{}
	plain.Recipients = nil
	for i, r := range all {
		var f Fate
		if i < len(fates) {
			f = fates[i]
		}
		switch {
		case f.Discard != "":
		case f.Hold != "":
			e, ok := held[f.Hold]
			if !ok {
				e = env
				e.Recipients = nil
			}
			e.Recipients = append(e.Recipients, r)
			held[f.Hold] = e
		default:
			plain.Recipients = append(plain.Recipients, r)
		}
	}
	return plain, held
}

// put rewrites and signs a groomed message and queues it, on hold where there is a reason.
func (s *Submitter) put(ctx context.Context, env mail.Envelope, content mail.Content, hold string) error {
	done, err := s.finish(ctx, env, content)
	if err != nil {
		return err
	}
	switch hold = cmp.Or(hold, done.hold); {
	case done.discard != "":
		s.tellDiscarded(&done)
	case hold != "":
		_, err = s.cfg.Queue.PutHeld(ctx, done.env, done.content, hold)
	default:
		_, err = s.cfg.Queue.Put(ctx, done.env, done.content)
	}
	return err
}

// finish does what is left to do with a groomed message: rules of the site rewrite it, filters judge it,
// and its author's domain signs it.
func (s *Submitter) finish(ctx context.Context, env mail.Envelope, content mail.Content) (judged, error) {
	env, content, err := s.rewrite(ctx, env, content)
	if err != nil {
		return judged{}, err
	}
	done, err := s.judge(ctx, env, content)
	if err != nil || done.discard != "" {
		return done, err
	}
	done.content, err = sign(ctx, s.cfg.Signer, done.env, done.content)
	return done, err
}

// rewrite changes addresses by the rules of the site.
func (s *Submitter) rewrite(ctx context.Context, env mail.Envelope, content mail.Content) (mail.Envelope, mail.Content, error) {
	if s.cfg.Rewriter == nil {
		return env, content, nil
	}
	env, err := s.cfg.Rewriter.Envelope(ctx, env)
	if err == nil {
		content, err = s.cfg.Rewriter.Header(ctx, content)
	}
	if err != nil {
		return env, content, fmt.Errorf("submit: %s: %w", env.ID, err)
	}
	return env, content, nil
}
