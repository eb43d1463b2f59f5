package killtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"posthaste/sim"
)

// A keeper changes its INBOX over IMAP, remembers what was acknowledged, and looks after each
// connection lost whether that is still so.
type keeper struct {
	t     *testing.T
	login string
	rng   *rand.Rand

	mails    map[imap.UID]*kept
	appended string // the ID of an APPEND whose answer was lost, or empty
	count    int
	validity uint32
	next     imap.UID
	modSeq   uint64
	looks    int
	changes  int
}

// kept is what a keeper knows of a message. Where the answer to a change was lost, it may be as before
// or as changed.
type kept struct {
	id          string
	flagged     bool
	flagUnknown bool
	maybeGone   bool
}

func newKeeper(t *testing.T, login string, seed uint64) *keeper {
	return &keeper{t: t, login: login, rng: rand.New(rand.NewPCG(seed, 1)), mails: map[imap.UID]*kept{}}
}

func (k *keeper) run(ctx context.Context, s *server) {
	for ctx.Err() == nil {
		if err := k.session(ctx, s); err != nil {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// session looks, then changes things until the connection is lost.
func (k *keeper) session(ctx context.Context, s *server) error {
	nc, err := s.dial("imap")
	if err != nil {
		return err
	}
	c := imapclient.New(nc, nil)
	defer c.Close()
	if err := c.Login(k.login, sim.Password).Wait(); err != nil {
		return err
	}
	if err := k.look(c); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := k.change(c); err != nil {
			return err
		}
		k.changes++
	}
	return nil
}

// change does one of the changes. An error means that its outcome is unknown.
func (k *keeper) change(c *imapclient.Client) error {
	uid := k.any()
	switch what := k.rng.IntN(4); {
	case uid == 0 || what < 2 && len(k.mails) < 200:
		return k.append(c)
	case what == 3:
		return k.expunge(c, uid)
	default:
		return k.flag(c, uid)
	}
}

// any returns a message, or 0.
func (k *keeper) any() imap.UID {
	uids := make([]imap.UID, 0, len(k.mails))
	for uid := range k.mails {
		uids = append(uids, uid)
	}
	if len(uids) == 0 {
		return 0
	}
	slices.Sort(uids)
	return uids[k.rng.IntN(len(uids))]
}

func (k *keeper) append(c *imapclient.Client) error {
	k.count++
	k.appended = fmt.Sprintf("append-%d", k.count)
	text := sim.Letter{ID: k.appended, From: k.login, To: []string{k.login}, Body: strings.Repeat("x", k.rng.IntN(20_000))}.Content()
	command := c.Append("INBOX", int64(len(text)), nil)
	_, err := io.WriteString(command, text)
	if err := errors.Join(err, command.Close()); err != nil {
		return err
	}
	data, err := command.Wait()
	if err != nil {
		return err
	}
	if data.UID < k.next || k.mails[data.UID] != nil {
		k.t.Errorf("%s: APPEND got UID %d, UIDNEXT was %d", k.login, data.UID, k.next)
	}
	k.mails[data.UID] = &kept{id: k.appended}
	k.next, k.appended = data.UID+1, ""
	return nil
}

func (k *keeper) flag(c *imapclient.Client, uid imap.UID) error {
	m := k.mails[uid]
	op := imap.StoreFlagsAdd
	if m.flagged {
		op = imap.StoreFlagsDel
	}
	m.flagUnknown = true
	if err := c.Store(imap.UIDSetNum(uid), &imap.StoreFlags{Op: op, Silent: true, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close(); err != nil {
		return err
	}
	m.flagged, m.flagUnknown = !m.flagged, false
	return nil
}

func (k *keeper) expunge(c *imapclient.Client, uid imap.UID) error {
	k.mails[uid].maybeGone = true
	set := imap.UIDSetNum(uid)
	if err := c.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
		return err
	}
	if err := c.UIDExpunge(set).Close(); err != nil {
		return err
	}
	delete(k.mails, uid)
	return nil
}

// look compares the mailbox with what was acknowledged, and adopts what the lost answers left.
func (k *keeper) look(c *imapclient.Client) error {
	box, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	if err != nil {
		return err
	}
	var messages []*imapclient.FetchMessageBuffer
	if box.NumMessages > 0 {
		options := &imap.FetchOptions{UID: true, Flags: true, Envelope: true, ModSeq: true}
		if messages, err = c.Fetch(imap.UIDSet{imap.UIDRange{Start: 1, Stop: 0}}, options).Collect(); err != nil {
			return err
		}
	}
	k.looks++
	k.compareBox(box)
	seen := map[imap.UID]bool{}
	for _, m := range messages {
		seen[m.UID] = true
		k.compare(m)
	}
	for uid, m := range k.mails {
		if !seen[uid] {
			if !m.maybeGone {
				k.t.Errorf("%s: UID %d (%s) is lost", k.login, uid, m.id)
			}
			delete(k.mails, uid)
		}
	}
	k.next, k.appended = box.UIDNext, ""
	return nil
}

func (k *keeper) compareBox(box *imap.SelectData) {
	if k.validity != 0 && box.UIDValidity != k.validity || box.UIDNext < k.next || box.HighestModSeq < k.modSeq {
		k.t.Errorf("%s: UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ went from %d, %d, %d to %d, %d, %d", k.login,
			k.validity, k.next, k.modSeq, box.UIDValidity, box.UIDNext, box.HighestModSeq)
	}
	k.validity, k.modSeq = box.UIDValidity, box.HighestModSeq
}

// compare compares one message with what is known of it.
func (k *keeper) compare(m *imapclient.FetchMessageBuffer) {
	id := strings.TrimSuffix(m.Envelope.MessageID, "@sim.test")
	flagged := slices.Contains(m.Flags, imap.FlagFlagged)
	known := k.mails[m.UID]
	switch {
	case known == nil && id == k.appended && m.UID >= k.next:
		k.mails[m.UID] = &kept{id: id, flagged: flagged}
		k.appended = "" // it may be there once
	case known == nil:
		k.t.Errorf("%s: UID %d (%s) was not expected", k.login, m.UID, id)
		k.mails[m.UID] = &kept{id: id, flagged: flagged}
	case known.id != id:
		k.t.Errorf("%s: UID %d was %s and is %s", k.login, m.UID, known.id, id)
	case known.flagged != flagged && !known.flagUnknown:
		k.t.Errorf("%s: UID %d (%s): flagged is %v, acknowledged was %v", k.login, m.UID, id, flagged, known.flagged)
	default:
		known.flagged, known.flagUnknown, known.maybeGone = flagged, false, false
	}
}
