package pgkv

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/jackc/pgx/v5"

	"posthaste/kv"
)

const (
	channels        = 64                   // that announcements are spread over
	announceEvery   = 5 * time.Millisecond // at most
	announceTimeout = 5 * time.Second
	maxPayload      = 7900 // bytes; PostgreSQL takes fewer than 8000
)

// channel returns the channel that versions of a partition are announced on.
func channel(p kv.Partition) string {
	return fmt.Sprintf("posthaste_%d", xxhash.Sum64String(string(p))%channels)
}

// A news is what other nodes have not been told yet.
type news struct {
	arrived chan struct{} // has an element when there is some

	mu       sync.Mutex // guards what follows
	versions map[kv.Partition]kv.Version
}

func newNews() *news {
	return &news{arrived: make(chan struct{}, 1), versions: make(map[kv.Partition]kv.Version)}
}

func (n *news) add(p kv.Partition, v kv.Version) {
	n.mu.Lock()
	n.versions[p] = max(n.versions[p], v)
	n.mu.Unlock()
	select {
	case n.arrived <- struct{}{}:
	default:
	}
}

func (n *news) take() map[kv.Partition]kv.Version {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.versions
	n.versions = make(map[kv.Partition]kv.Version)
	return all
}

// announce tells other nodes of commits until ctx ends.
func (s *Store) announce(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			s.notify(s.news.take())
			return
		case <-s.news.arrived:
		}
		select {
		case <-ctx.Done():
		case <-time.After(announceEvery):
		}
		s.notify(s.news.take())
	}
}

// notify sends one NOTIFY for each channel concerned. Nobody waits for its log.
func (s *Store) notify(versions map[kv.Partition]kv.Version) {
	if len(versions) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), announceTimeout)
	defer cancel()
	var b pgx.Batch
	b.Queue(`BEGIN`)
	b.Queue(`SET LOCAL synchronous_commit TO off`)
	for _, a := range announcements(s.bodies.opened, versions) {
		b.Queue(`SELECT pg_notify($1, $2)`, a.channel, a.payload)
	}
	b.Queue(`COMMIT`)
	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
		s.log.Debug("other nodes were not told of commits; they find them by themselves", "partitions", len(versions), "err", err)
	}
}

type announcement struct{ channel, payload string }

// announcements packs versions, a line "VERSION PARTITION" each, after a line with the opening of the
// store that they come from.
func announcements(opened uint64, versions map[kv.Partition]kv.Version) []announcement {
	var all []announcement
	head := strconv.FormatUint(opened, 10) + "\n"
	room := make(map[string]int) // by channel, the announcement that has room
	for p, v := range versions {
		c, line := channel(p), strconv.FormatUint(uint64(v), 10)+" "+string(p)+"\n"
		i, ok := room[c]
		if !ok || len(all[i].payload)+len(line) > maxPayload {
			i = len(all)
			room[c] = i
			all = append(all, announcement{c, head})
		}
		all[i].payload += line
	}
	return all
}

// parseAnnouncement calls f with each version in payload, unless it comes from the opening given.
// Lines that it does not know it skips.
func parseAnnouncement(payload string, but uint64, f func(kv.Partition, kv.Version)) {
	head, rest, _ := strings.Cut(payload, "\n")
	if opened, err := strconv.ParseUint(head, 10, 64); err != nil || opened == but {
		return
	}
	for line := range strings.Lines(rest) {
		version, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		v, err := strconv.ParseUint(version, 10, 64)
		if p := kv.Partition(name); err == nil && p.Check() == nil {
			f(p, kv.Version(v))
		}
	}
}
