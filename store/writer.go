package store

import (
	"context"
	"fmt"

	"posthaste/kv"
	"posthaste/mail"
)

// A writer collects what one commit changes: records that count, and the log entry that says it.
type writer struct {
	account *Account
	txn     kv.Txn
	head    head
	before  head
	change  change
	boxes   []*boxRecord // read or made, to be stored when touched
	names   keywordNames // custom keywords, when read
	read    bool         // names were read
}

func newWriter(a *Account, txn kv.Txn) *writer { return &writer{account: a, txn: txn} }

// update runs fn and commits what it did. It returns the version of the account then.
func (a *Account) update(ctx context.Context, fn func(w *writer) error) (mail.ModSeq, error) {
	wrote := false
	var usage Usage
	v, err := a.store.cfg.KV.Update(ctx, a.partition, func(txn kv.Txn) (err error) {
		w := newWriter(a, txn)
		if w.head, err = getHead(txn); err != nil {
			return err
		}
		w.before = w.head
		if err = fn(w); err != nil {
			return err
		}
		wrote, usage = !w.change.empty(), w.head.usage
		return w.commit()
	})
	if err != nil {
		return 0, fmt.Errorf("store: account %d: %w", a.id, err)
	}
	if wrote {
		a.committed(mail.ModSeq(v), usage)
	}
	return mail.ModSeq(v), nil
}

// committed remembers what a durable commit left, and counts it, so that the log is not left to grow.
func (a *Account) committed(version mail.ModSeq, usage Usage) {
	a.mu.Lock()
	if version > a.asOf {
		a.usage, a.asOf = usage, version
	}
	a.tail++
	due := a.tail >= snapshotEvery
	if due {
		a.tail = 0
	}
	a.mu.Unlock()
	if due {
		a.store.wantSnapshot(a)
	}
}

// commit stores the records and the log entry; when nothing changed it writes nothing.
func (w *writer) commit() error {
	if w.change.empty() {
		return nil
	}
	if w.head != w.before {
		w.head.put(w.txn)
	}
	for _, id := range w.change.touched {
		for _, box := range w.boxes {
			if box.ID == id {
				putBox(w.txn, box)
			}
		}
	}
	w.change.put(w.txn, w.account.store.now())
	return nil
}

// version is the one that this commit will get.
func (w *writer) version() mail.ModSeq { return mail.ModSeq(w.txn.Next()) }

// box returns the record of a mailbox, to be changed; touch says that it was.
func (w *writer) box(id MailboxID) (*boxRecord, error) {
	for _, box := range w.boxes {
		if box.ID == id {
			return box, nil
		}
	}
	box, err := getBox(w.txn, id)
	if err != nil {
		return nil, err
	}
	w.boxes = append(w.boxes, &box)
	return &box, nil
}

// selectable returns the record of a mailbox that can hold mail.
func (w *writer) selectable(id MailboxID) (*boxRecord, error) {
	box, err := w.box(id)
	if err == nil && box.NoSelect {
		err = fmt.Errorf("store: %q only holds other mailboxes: %w", box.Name, ErrNoMailbox)
	}
	return box, err
}

func (w *writer) touch(box *boxRecord) { w.change.touch(box.ID) }

// rows returns the account as the transaction sees it, with the rows of the given mailboxes.
func (w *writer) rows(boxes ...MailboxID) (*state, error) {
	return advance(w.txn, w.account.cached(), boxes...)
}

// keywords numbers flags; create tells whether unknown ones are made.
func (w *writer) keywords(f flagSet, create bool) (Keywords, error) {
	if len(f.custom) == 0 {
		return f.builtin, nil
	}
	if !w.read {
		names, err := readKeywords(w.txn)
		if err != nil {
			return Keywords{}, err
		}
		w.names, w.read = names, true
	}
	k, names, err := f.resolve(w.names, create)
	if err != nil {
		return k, err
	}
	if added := names[len(w.names):]; len(added) > 0 {
		w.change.keywords = append(w.change.keywords, added...)
		w.names = names
		w.txn.Put([]byte{keyKeywords}, names.encode())
	}
	return k, nil
}

func (w *writer) subscribe(name string, on bool) {
	w.change.subs = append(w.change.subs, subChange{name, on})
	if on {
		w.txn.Put(subscriptionKey(name), []byte{})
	} else {
		w.txn.Delete(subscriptionKey(name))
	}
}
