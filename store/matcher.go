package store

import (
	"fmt"
	"strings"
	"time"

	"posthaste/message"
)

// A verdict is what is known of a condition so far.
type verdict int8

const (
	no    verdict = -1
	maybe verdict = 0 // depends on what was not read yet
	yes   verdict = 1
)

func decide(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// evidence is what is known of an email: its row always, facts and content once they were read.
type evidence struct {
	row     *Row
	facts   *Facts
	message *message.Message
	text    []string // of the message, folded, when textRead
	read    bool
}

// A matcher is a criterion made ready for many rows: texts are folded, keywords numbered.
type matcher struct {
	Criterion
	children []matcher
	keyword  func(Keywords) bool
	day      int64 // of Time, as dayOf counts
	now      int64
}

func newMatcher(v *View, c Criterion, now time.Time, levels int, budget *int) (matcher, error) {
	if *budget--; *budget < 0 || levels > maxSearchLevels {
		return matcher{}, fmt.Errorf("store: search: %w: %d conditions, nested %d deep", ErrLimit, maxCriteria, maxSearchLevels)
	}
	m := matcher{Criterion: c, now: now.Unix()}
	switch c.Key {
	case SearchKeyword:
		m.keyword = v.Keyword(c.Text)
	case SearchHeader:
		m.Name = strings.TrimSuffix(c.Name, ":")
		m.Text = fold(c.Text)
	default:
		m.Text = fold(c.Text)
	}
	m.day = dayOf(c.Time)
	for _, child := range c.Children {
		x, err := newMatcher(v, child, now, levels+1, budget)
		if err != nil {
			return m, err
		}
		m.children = append(m.children, x)
	}
	return m, nil
}

// dayOf counts days of the calendar that t's zone shows.
func dayOf(t time.Time) int64 {
	_, zone := t.Zone()
	return floorDay(t.Unix() + int64(zone))
}

const secondsOfDay = 24 * 60 * 60

func floorDay(unix int64) int64 {
	day := unix / secondsOfDay
	if unix%secondsOfDay < 0 {
		day--
	}
	return day
}

// match decides as far as e allows.
func (m *matcher) match(e *evidence) verdict {
	switch m.Key {
	case SearchAll:
		return yes
	case SearchAnd:
		return m.all(e)
	case SearchNot:
		return -m.all(e)
	case SearchOr:
		return m.any(e)
	}
	if m.Key <= SearchThread && (m.Key < SearchSentBefore || m.Key > SearchSentSince) {
		return decide(m.matchRow(e.row))
	}
	if e.facts == nil {
		return maybe
	}
	if m.Key >= SearchHeader {
		return m.matchContent(e)
	}
	return decide(m.matchFacts(e.facts))
}

func (m *matcher) all(e *evidence) verdict {
	v := yes
	for i := range m.children {
		if v = min(v, m.children[i].match(e)); v == no {
			break
		}
	}
	return v
}

func (m *matcher) any(e *evidence) verdict {
	v := no
	for i := range m.children {
		if v = max(v, m.children[i].match(e)); v == yes {
			break
		}
	}
	return v
}

func (m *matcher) matchRow(r *Row) bool {
	switch m.Key {
	case SearchUIDs:
		return m.UIDs.Contains(r.UID)
	case SearchKeyword:
		return m.keyword(r.Keywords) || r.Deleted && strings.EqualFold(m.Criterion.Text, deletedFlag)
	case SearchBefore, SearchOn, SearchSince:
		return m.compare(m.dayIn(r.Received), SearchBefore)
	case SearchSavedBefore, SearchSavedOn, SearchSavedSince:
		return m.compare(m.dayIn(r.Saved), SearchSavedBefore)
	case SearchOlder:
		return r.Received <= m.now-int64(m.Number)
	case SearchYounger:
		return r.Received >= m.now-int64(m.Number)
	case SearchLarger:
		return uint64(r.Size) > m.Number
	case SearchSmaller:
		return uint64(r.Size) < m.Number
	case SearchModSeq:
		return uint64(r.ModSeq) >= m.Number
	case SearchEmail:
		return uint64(r.Email) == m.Number
	case SearchThread:
		return uint64(r.Thread) == m.Number
	}
	return false
}

// dayIn returns the day of a time as the zone of the condition shows it.
func (m *matcher) dayIn(unix int64) int64 {
	_, zone := m.Time.Zone()
	return floorDay(unix + int64(zone))
}

// compare compares a day with the condition's: keys are before, on and since, in that order from
// before on.
func (m *matcher) compare(day int64, before SearchKey) bool {
	switch m.Key - before {
	case 0:
		return day < m.day
	case 1:
		return day == m.day
	default:
		return day >= m.day
	}
}

func (m *matcher) matchFacts(f *Facts) bool {
	switch m.Key {
	case SearchSentBefore, SearchSentOn, SearchSentSince:
		return !f.Sent.IsZero() && m.compare(dayOf(f.Sent), SearchSentBefore)
	case SearchSubject:
		return strings.Contains(f.search[0], m.Text)
	case SearchFrom, SearchTo, SearchCc, SearchBcc:
		return strings.Contains(f.search[1+m.Key-SearchFrom], m.Text)
	}
	return false
}

// matchContent decides what needs the content, unless it was not read yet.
func (m *matcher) matchContent(e *evidence) verdict {
	if e.message == nil {
		return maybe
	}
	if m.Key == SearchHeader {
		return decide(m.matchHeader(e.message.Header))
	}
	if m.Key == SearchText && strings.Contains(fold(message.DecodeWords(string(e.message.Header.Raw()))), m.Text) {
		return yes
	}
	return decide(e.contains(m.Text))
}

func (m *matcher) matchHeader(h message.Header) bool {
	for _, value := range h.Values(m.Name) {
		if m.Text == "" || strings.Contains(fold(message.DecodeWords(value)), m.Text) {
			return true
		}
	}
	return false
}

// contains tells whether the text of the message has text, which is folded.
func (e *evidence) contains(text string) bool {
	if !e.read {
		e.message.SearchText(func(part string) bool {
			e.text = append(e.text, fold(part))
			return true
		})
		e.read = true
	}
	for _, part := range e.text {
		if strings.Contains(part, text) {
			return true
		}
	}
	return false
}
