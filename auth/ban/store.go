package ban

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// Bounds and times of what is stored.
const (
	bansPartition = kv.Partition("ban")
	buckets       = 16
	maxPending    = 10_000 // bans and devices that wait to be written; more are of this node alone
	perAccount    = 50     // devices that are stored of one account
	afterwards    = 7 * 24 * time.Hour
	sweepEvery    = 10 * time.Minute
	retryEvery    = 10 * time.Second
)

// A keeper writes what is to outlast the process. Nothing is written where it is found out: [Bans.Run]
// does it, so that who attacks does not wait for a disk, nor a disk for who attacks.
type keeper struct {
	kv   kv.Store
	wake chan struct{}

	mu      sync.Mutex // guards what follows
	bans    map[Subject]Ban
	devices map[Device]time.Time
	stale   map[kv.Partition]bool // another node wrote there
}

func newKeeper(store kv.Store) *keeper {
	return &keeper{kv: store, wake: make(chan struct{}, 1), bans: map[Subject]Ban{}, devices: map[Device]time.Time{}, stale: map[kv.Partition]bool{}}
}

func (k *keeper) rouse() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// keep has a ban written.
func (b *Bans) keep(ban Ban) {
	if b.store == nil {
		return
	}
	b.store.mu.Lock()
	if len(b.store.bans) < maxPending {
		b.store.bans[ban.Subject] = ban
	}
	b.store.mu.Unlock()
	b.store.rouse()
}

// noteDevice has a device written.
func (k *keeper) noteDevice(d Device, last time.Time) {
	k.mu.Lock()
	if len(k.devices) < maxPending {
		k.devices[d] = last
	}
	k.mu.Unlock()
	k.rouse()
}

// Load reads what is stored: bans, and the devices that memory has room for.
func (b *Bans) Load(ctx context.Context) error {
	if b.store == nil {
		return nil
	}
	for i := range buckets {
		if err := b.loadDevices(ctx, bucket(i)); err != nil {
			return err
		}
	}
	return b.loadBans(ctx, time.Now())
}

// Run writes what is to be kept and reads what other nodes wrote, until ctx ends.
func (b *Bans) Run(ctx context.Context) error {
	if b.store == nil {
		<-ctx.Done()
		return nil
	}
	for i := range buckets + 1 {
		p := bansPartition
		if i < buckets {
			p = bucket(i)
		}
		defer b.store.kv.Watch(p, func(kv.Version) { b.store.changed(p) })()
		b.store.changed(p) // what others wrote between Load and Watch
	}
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return b.flush(context.WithoutCancel(ctx))
		case <-b.store.wake:
		case <-again:
		case <-sweep.C:
			b.sweep(ctx, time.Now())
		}
		again = nil
		if err := errors.Join(b.flush(ctx), b.refresh(ctx, time.Now())); err != nil && ctx.Err() == nil {
			b.log.Warn("bans are not kept or read", "err", err)
			again = time.After(retryEvery)
		}
	}
}

func (k *keeper) changed(p kv.Partition) {
	k.mu.Lock()
	k.stale[p] = true
	k.mu.Unlock()
	k.rouse()
}

// refresh reads the partitions that have changed.
func (b *Bans) refresh(ctx context.Context, now time.Time) error {
	b.store.mu.Lock()
	stale := b.store.stale
	b.store.stale = map[kv.Partition]bool{}
	b.store.mu.Unlock()
	var errs []error
	for p := range stale {
		var err error
		if p == bansPartition {
			err = b.loadBans(ctx, now)
		} else {
			err = b.loadDevices(ctx, p)
		}
		if err != nil {
			b.store.changed(p)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func banKey(who Subject) []byte { return append([]byte("b/"), who.String()...) }

// loadBans makes the bans in force those of the store, and those that wait to be written.
func (b *Bans) loadBans(ctx context.Context, now time.Time) error {
	stored := map[Subject]Ban{}
	err := b.store.kv.View(ctx, bansPartition, func(r kv.Reader) error {
		prefix := []byte("b/")
		all, errf := r.Scan(prefix, kv.PrefixEnd(prefix), false)
		for key, value := range all {
			var ban Ban
			if err := json.Unmarshal(value, &ban); err != nil {
				b.log.Warn("a stored ban cannot be read", "key", string(key), "err", err)
				continue
			}
			if len(stored) < maxBans {
				stored[ban.Subject] = ban
			}
		}
		return errf()
	})
	if err != nil {
		return fmt.Errorf("ban: load: %w", err)
	}
	b.store.mu.Lock()
	maps.Copy(stored, b.store.bans)
	b.store.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for who := range b.bans {
		if _, ok := stored[who]; !ok {
			b.end(who)
		}
	}
	for _, ban := range stored {
		if ban.remembered(now) {
			b.begin(ban, now)
		}
	}
	return nil
}

// remembered tells whether b is in force, or over so shortly that the next will be longer.
func (b *Ban) remembered(now time.Time) bool { return b.holds(now) || now.Sub(b.Until) < afterwards }

// flush writes what waits. What the store does not take waits on.
func (b *Bans) flush(ctx context.Context) error {
	k := b.store
	k.mu.Lock()
	bans, devices := maps.Clone(k.bans), k.devices
	k.devices = map[Device]time.Time{}
	k.mu.Unlock()
	if len(bans) > 0 {
		if err := k.write(ctx, bans); err != nil {
			k.putBack(devices)
			return err
		}
	}
	for d, last := range devices {
		if err := k.writeDevice(ctx, d, last); err != nil {
			k.putBack(devices)
			return err
		}
		delete(devices, d)
	}
	return nil
}

func (k *keeper) putBack(devices map[Device]time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for d, last := range devices {
		if _, newer := k.devices[d]; !newer && len(k.devices) < maxPending {
			k.devices[d] = last
		}
	}
}

// write stores bans; those that have not changed meanwhile wait no longer.
func (k *keeper) write(ctx context.Context, bans map[Subject]Ban) error {
	_, err := k.kv.Update(ctx, bansPartition, func(t kv.Txn) error {
		for who, ban := range bans {
			ban.Hits = 0
			value, err := json.Marshal(ban)
			if err != nil {
				return err
			}
			t.Put(banKey(who), value)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ban: write: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for who, ban := range bans {
		if k.bans[who] == ban {
			delete(k.bans, who)
		}
	}
	return nil
}

// remove deletes a ban.
func (k *keeper) remove(ctx context.Context, who Subject) error {
	k.mu.Lock()
	delete(k.bans, who)
	k.mu.Unlock()
	_, err := k.kv.Update(ctx, bansPartition, func(t kv.Txn) error {
		t.Delete(banKey(who))
		return nil
	})
	return err
}

func bucket(i int) kv.Partition { return kv.Partition(fmt.Sprintf("ban/%d", i)) }

func bucketOf(account mail.AccountID) kv.Partition { return bucket(int(uint64(account) % buckets)) }

func accountKey(account mail.AccountID) []byte {
	return binary.BigEndian.AppendUint64([]byte("d/"), uint64(account))
}

func deviceKey(d Device) []byte {
	return append(append(accountKey(d.Account), byte(d.Network.Bits())), d.Network.Addr().AsSlice()...)
}

// parseDevice reads what deviceKey made.
func parseDevice(key, value []byte) (d Device, last time.Time, ok bool) {
	const fixed = 2 + 8 + 1
	if len(key) <= fixed || len(value) != 8 {
		return d, last, false
	}
	addr, ok := netip.AddrFromSlice(key[fixed:])
	if !ok {
		return d, last, false
	}
	d.Account = mail.AccountID(binary.BigEndian.Uint64(key[2:]))
	d.Network = netip.PrefixFrom(addr, int(key[fixed-1]))
	return d, time.Unix(int64(binary.BigEndian.Uint64(value)), 0), d.Network.IsValid()
}

// seen returns when a device logged in, or zero. A store that does not answer knows nothing.
func (k *keeper) seen(ctx context.Context, d Device) (last time.Time) {
	k.kv.View(ctx, bucketOf(d.Account), func(r kv.Reader) error {
		value, err := r.Get(deviceKey(d))
		if err == nil {
			_, last, _ = parseDevice(deviceKey(d), value)
		}
		return err
	})
	return last
}

// writeDevice stores a device; of one account those seen last stay.
func (k *keeper) writeDevice(ctx context.Context, d Device, last time.Time) error {
	_, err := k.kv.Update(ctx, bucketOf(d.Account), func(t kv.Txn) error {
		t.Put(deviceKey(d), binary.BigEndian.AppendUint64(nil, uint64(last.Unix())))
		prefix := accountKey(d.Account)
		all, errf := t.Scan(prefix, kv.PrefixEnd(prefix), false)
		n, oldest, when := 0, []byte(nil), last
		for key, value := range all {
			n++
			if _, at, _ := parseDevice(key, value); at.Before(when) || oldest == nil {
				oldest, when = append([]byte(nil), key...), at
			}
		}
		if n > perAccount {
			t.Delete(oldest)
		}
		return errf()
	})
	if err != nil {
		return fmt.Errorf("ban: write a device: %w", err)
	}
	return nil
}

// loadDevices adds the devices of a bucket to those in memory.
func (b *Bans) loadDevices(ctx context.Context, p kv.Partition) error {
	since := time.Now().Add(-b.settings.Load().rules.Devices)
	err := b.store.kv.View(ctx, p, func(r kv.Reader) error {
		prefix := []byte("d/")
		all, errf := r.Scan(prefix, kv.PrefixEnd(prefix), false)
		b.mu.Lock()
		defer b.mu.Unlock()
		for key, value := range all {
			if d, last, ok := parseDevice(key, value); ok && last.After(since) {
				b.devices.note(d, last)
			}
		}
		return errf()
	})
	if err != nil {
		return fmt.Errorf("ban: load devices: %w", err)
	}
	return nil
}

// sweep deletes what is over.
func (b *Bans) sweep(ctx context.Context, now time.Time) {
	since := now.Add(-b.settings.Load().rules.Devices)
	b.mu.Lock()
	b.devices.drop(since, 0)
	var over []Subject
	for who, e := range b.bans {
		if !e.remembered(now) {
			over = append(over, who)
			b.end(who)
		}
	}
	b.mu.Unlock()
	for _, who := range over {
		if err := b.store.remove(ctx, who); err != nil && ctx.Err() == nil {
			b.log.Warn("a ban that is over stays in the store", "subject", who.String(), "err", err)
		}
	}
	for i := range buckets {
		if err := b.store.sweepDevices(ctx, bucket(i), since); err != nil && ctx.Err() == nil {
			b.log.Warn("devices not seen for long stay in the store", "err", err)
		}
	}
}

// sweepDevices deletes devices not seen since a time.
func (k *keeper) sweepDevices(ctx context.Context, p kv.Partition, since time.Time) error {
	_, err := k.kv.Update(ctx, p, func(t kv.Txn) error {
		t.Quiet()
		prefix := []byte("d/")
		all, errf := t.Scan(prefix, kv.PrefixEnd(prefix), false)
		var old [][]byte
		for key, value := range all {
			if _, last, ok := parseDevice(key, value); !ok || last.Before(since) {
				old = append(old, append([]byte(nil), key...))
			}
		}
		for _, key := range old {
			t.Delete(key)
		}
		return errf()
	})
	return err
}
