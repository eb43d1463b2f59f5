package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// A Delivery is one message for one account.
type Delivery struct {
	ID       string    // delivery ID: a repeat within 7 days is a no-op; "" for none
	Fresh    bool      // ID was made for this attempt: none before can have stored it, which spares a look
	Mailbox  MailboxID // 0 for INBOX; one that is gone means INBOX
	Role     Role      // where Mailbox is 0, the mailbox with this role, if there is one
	Prefix   []byte    // header lines this system adds before the content, each ending in CRLF
	Message  *Message
	Received time.Time // INTERNALDATE
	Keywords []string  // names as IMAP flags
}

// Delivered says where a delivery went.
type Delivered struct {
	Mailbox     MailboxID
	UIDValidity uint32
	UID         mail.UID
	Email       EmailID
	ModSeq      mail.ModSeq
	Repeated    bool // the delivery ID was known: nothing was stored now
}

// Deliver stores one message in one commit. ErrQuota when it does not fit.
func (a *Account) Deliver(ctx context.Context, d Delivery) (Delivered, error) {
	flags, err := parseFlags(d.Keywords)
	if err != nil {
		return Delivered{}, err
	}
	x := arrival{message: d.Message, prefix: d.Prefix, received: d.Received, flags: flags, body: a.newBody(d.Message)}
	var done Delivered
	_, err = a.update(ctx, func(w *writer) error {
		if !d.Fresh {
			known, err := getDelivery(w.txn, d.ID)
			if err != nil || known.UID != 0 {
				done = known
				return err
			}
		}
		box, err := w.deliverTo(d.Mailbox, d.Role)
		if err != nil {
			return err
		}
		row, member, err := w.arrive(box, &x)
		if err != nil {
			return err
		}
		done = Delivered{box.ID, box.UIDValidity, member.uid, row.id, w.version(), false}
		done.put(w.txn, d.ID, w.account.store.now())
		return nil
	})
	return done, err
}

// deliverTo returns the mailbox to deliver to: INBOX where id is none that can hold mail.
func (w *writer) deliverTo(id MailboxID, role Role) (*boxRecord, error) {
	if id == 0 && role != "" && role != RoleInbox {
		boxes, err := readBoxes(w.txn)
		if err != nil {
			return nil, err
		}
		for i := range boxes {
			if boxes[i].Role == role {
				id = boxes[i].ID
			}
		}
	}
	if id != 0 && id != Inbox {
		if box, err := w.selectable(id); !errors.Is(err, ErrNoMailbox) {
			return box, err
		}
	}
	return w.box(Inbox)
}

// maxDeliveryID is the longest delivery ID that is its own key.
const maxDeliveryID = 200

func deliveryKey(id string) []byte {
	if len(id) > maxDeliveryID {
		sum := sha256.Sum256([]byte(id))
		id = "\x00" + string(sum[:])
	}
	return append([]byte{keyDelivery}, id...)
}

// getDelivery returns what became of a delivery, or zero when id is unknown.
func getDelivery(r kv.Reader, id string) (Delivered, error) {
	if id == "" {
		return Delivered{}, nil
	}
	b, err := r.Get(deliveryKey(id))
	if errors.Is(err, kv.ErrNotFound) {
		return Delivered{}, nil
	}
	if err != nil {
		return Delivered{}, err
	}
	d := decoder{b: b}
	d.format(1)
	d.varint() // when
	return Delivered{MailboxID(d.uvarint()), uint32(d.uvarint()), mail.UID(d.uvarint()), EmailID(d.uvarint()),
		mail.ModSeq(d.uvarint()), true}, d.err("delivery ID")
}

func (x Delivered) put(txn kv.Txn, id string, now time.Time) {
	if id == "" {
		return
	}
	b := binary.AppendVarint([]byte{1}, now.Unix())
	for _, n := range [...]uint64{uint64(x.Mailbox), uint64(x.UIDValidity), uint64(x.UID), uint64(x.Email), uint64(x.ModSeq)} {
		b = binary.AppendUvarint(b, n)
	}
	txn.Put(deliveryKey(id), b)
}

// An Append is one message for a mailbox.
type Append struct {
	Message  *Message
	Received time.Time // INTERNALDATE; zero means now
	Keywords []string  // names as IMAP flags; \Deleted is one here
}

// Appended is the APPENDUID of RFC 4315: one UID for each message, ascending.
type Appended struct {
	UIDValidity uint32
	UIDs        []mail.UID
	ModSeq      mail.ModSeq
}

// maxAppend bounds the messages of one Append.
const maxAppend = 5000

// Append stores messages in one commit: all or none (RFC 3502).
func (a *Account) Append(ctx context.Context, box MailboxID, messages []Append) (Appended, error) {
	if len(messages) > maxAppend {
		return Appended{}, fmt.Errorf("store: append of %d messages: %w (%d)", len(messages), ErrLimit, maxAppend)
	}
	list := make([]arrival, len(messages))
	for i, m := range messages {
		flags, err := parseFlags(m.Keywords)
		if err != nil {
			return Appended{}, err
		}
		if m.Received.IsZero() {
			m.Received = a.store.now()
		}
		list[i] = arrival{message: m.Message, received: m.Received, flags: flags, body: a.newBody(m.Message)}
	}
	return a.append(ctx, box, list)
}

func (a *Account) append(ctx context.Context, id MailboxID, list []arrival) (Appended, error) {
	var done Appended
	version, err := a.update(ctx, func(w *writer) error {
		box, err := w.selectable(id)
		if err != nil {
			return err
		}
		done = Appended{box.UIDValidity, make([]mail.UID, 0, len(list)), 0}
		for i := range list {
			_, member, err := w.arrive(box, &list[i])
			if err != nil {
				return err
			}
			done.UIDs = append(done.UIDs, member.uid)
		}
		return nil
	})
	done.ModSeq = version
	return done, err
}

// Bounds of one commit of Import.
const (
	importBatch      = 1000
	importBatchBytes = 16 << 20
)

// Import stores messages many per commit, as fast as it can, and returns how many are durable, also
// with an error. An error of the sequence ends it.
func (a *Account) Import(ctx context.Context, box MailboxID, messages iter.Seq2[Append, error]) (int, error) {
	var batch []Append
	done, size := 0, int64(0)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		_, err := a.Append(ctx, box, batch)
		if err == nil {
			done += len(batch)
			batch, size = batch[:0], 0
		}
		return err
	}
	for m, err := range messages {
		if err != nil {
			return done, errors.Join(err, flush())
		}
		batch = append(batch, m)
		size += m.Message.size
		if len(batch) >= importBatch || size >= importBatchBytes {
			if err := flush(); err != nil {
				return done, err
			}
		}
	}
	return done, flush()
}

// An arrival is one message to be stored as a new email.
type arrival struct {
	message  *Message
	prefix   []byte
	received time.Time
	flags    flagSet
	body     kv.BodyID // 0 when a blob has the content
}

// newBody takes an ID for the body of m, before the transaction.
func (a *Account) newBody(m *Message) kv.BodyID {
	if m.blob != "" {
		return 0
	}
	return a.store.cfg.KV.NewBodyID()
}

// arrive stores x as a new email with a membership in box.
func (w *writer) arrive(box *boxRecord, x *arrival) (emailRow, memberRow, error) {
	size := x.message.size + int64(len(x.prefix))
	if size > maxEmailBytes {
		return emailRow{}, memberRow{}, fmt.Errorf("message of %d bytes: %w", size, ErrLimit)
	}
	if err := w.head.take(size); err != nil {
		return emailRow{}, memberRow{}, err
	}
	keywords, err := w.keywords(x.flags, true)
	if err != nil {
		return emailRow{}, memberRow{}, err
	}
	id := w.newEmail()
	thread, err := joinThread(w.txn, id, x.message.threads)
	if err != nil {
		return emailRow{}, memberRow{}, err
	}
	if err := w.putContent(id, x); err != nil {
		return emailRow{}, memberRow{}, err
	}
	row := emailRow{id: id, thread: thread, received: x.received.Unix(), size: uint32(size), keywords: keywords}
	member, err := w.join(box, &row, x.flags.deleted)
	w.change.created = append(w.change.created, row)
	return row, member, err
}

func (w *writer) newEmail() EmailID {
	w.head.nextEmail++
	return w.head.nextEmail - 1
}

// putContent stores facts and body of an email.
func (w *writer) putContent(id EmailID, x *arrival) error {
	at := location{size: x.message.size, body: x.body, blob: x.message.blob}
	value := make([]byte, 0, 64+len(x.prefix)+len(x.message.facts))
	w.txn.Put(factsKey(id), appendFacts(value, at, x.prefix, x.message.facts))
	if at.blob != "" {
		return addReference(w.txn, blobReferenceKey(at.blob))
	}
	w.txn.PutBody(at.body, x.message.packed)
	return nil
}

// join adds the email of row to box.
func (w *writer) join(box *boxRecord, row *emailRow, deleted bool) (memberRow, error) {
	uid, err := box.nextUID()
	if err != nil {
		return memberRow{}, err
	}
	m := memberRow{email: row.id, modseq: w.version(), saved: w.account.store.now().Unix(), uid: uid, deleted: deleted}
	box.count(1, row, deleted)
	w.touch(box)
	if n := len(w.change.added); n > 0 && w.change.added[n-1].box == box.ID {
		w.change.added[n-1].rows = append(w.change.added[n-1].rows, m)
	} else {
		w.change.added = append(w.change.added, members{box.ID, []memberRow{m}})
	}
	return m, nil
}
