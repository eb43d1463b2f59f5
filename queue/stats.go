package queue

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Stats is the queue in numbers.
type Stats struct {
	Entries map[State]int `json:"entries"` // by State of the entry
	Bytes   int64         `json:"bytes"`   // of content
	Oldest  time.Time     `json:"oldest,omitzero"`
}

// Stats counts what is in the queue. It reads all entries.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Entries: map[State]int{}}
	for e, err := range q.List(ctx, Filter{}) {
		if err != nil {
			return s, err
		}
		s.add(e)
	}
	return s, nil
}

func (s *Stats) add(e *Entry) {
	s.Entries[e.State()]++
	s.Bytes += e.Size
	if s.Oldest.IsZero() || e.Created().Before(s.Oldest) {
		s.Oldest = e.Created()
	}
}

// Ages are the upper bounds of the columns of a Picture, in minutes, as qshape(1) has them. One more
// column holds what is older.
var ages = [...]time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1280}

// AgeColumns names the columns of a Picture.
func AgeColumns() []string {
	return []string{"5m", "10m", "20m", "40m", "80m", "160m", "320m", "640m", "1280m", "1280m+"}
}

// A Picture counts the recipients that wait, by where they go or who sent to them, and by age.
type Picture struct {
	Stats Stats        `json:"stats"` // of the entries that were chosen
	Rows  []PictureRow `json:"rows"`  // the most first
}

// A PictureRow is one domain. The null sender's is "<>".
type PictureRow struct {
	Domain string             `json:"domain"`
	Total  int                `json:"total"`
	Ages   [len(ages) + 1]int `json:"ages"`
}

// Picture counts the recipients that wait in the entries f chooses: by their domain, or by that of the
// sender.
func (q *Queue) Picture(ctx context.Context, f Filter, bySender bool) (Picture, error) {
	picture := Picture{Stats: Stats{Entries: map[State]int{}}}
	rows := map[string]*PictureRow{}
	now := time.Now()
	for e, err := range q.List(ctx, f) {
		if err != nil {
			return picture, err
		}
		picture.Stats.add(e)
		from := e.Envelope.From.Domain
		if e.Envelope.From.Null() {
			from = "<>"
		}
		column := ageColumn(now.Sub(e.Created()))
		for i := range e.Recipients {
			r := &e.Recipients[i]
			if !r.State.Open() {
				continue
			}
			key := r.Address.Domain
			if bySender {
				key = from
			}
			if rows[key] == nil {
				rows[key] = &PictureRow{Domain: strings.Clone(key)}
			}
			rows[key].Total++
			rows[key].Ages[column]++
		}
	}
	for _, r := range rows {
		picture.Rows = append(picture.Rows, *r)
	}
	slices.SortFunc(picture.Rows, func(a, b PictureRow) int {
		if a.Total != b.Total {
			return b.Total - a.Total
		}
		return strings.Compare(a.Domain, b.Domain)
	})
	return picture, nil
}

func ageColumn(age time.Duration) int {
	for i, bound := range ages {
		if age < bound*time.Minute {
			return i
		}
	}
	return len(ages)
}
