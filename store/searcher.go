package store

import (
	"context"
	"fmt"
	"slices"

	"posthaste/kv"
	"posthaste/message"
)

// Search returns the indexes, ascending, of the rows of v that c holds for. Cheap conditions are tried
// first; facts and content are read only for rows that pass those.
func (a *Account) Search(ctx context.Context, v *View, c Criterion) ([]int, error) {
	budget := maxCriteria
	m, err := newMatcher(v, c, a.store.now(), 0, &budget)
	if err != nil {
		return nil, err
	}
	found, open := m.scanRows(v)
	for batch := range slices.Chunk(open, searchBatch) {
		more, err := a.searchFacts(ctx, v, &m, batch)
		if err != nil {
			return nil, fmt.Errorf("store: search in account %d: %w", a.id, err)
		}
		found = append(found, more...)
	}
	if len(open) > 0 {
		slices.Sort(found)
	}
	return found, nil
}

// searchBatch is how many rows are read between two looks at the clock of others.
const searchBatch = 4096

// scanRows returns the rows that m holds for, and those it needs more than the row to decide.
func (m *matcher) scanRows(v *View) (found, open []int) {
	var at Row
	e := evidence{row: &at} // one for all rows: this loop is what SEARCH UNSEEN costs
	for i, row := range v.Rows(0, v.Len()) {
		at = row
		switch m.match(&e) {
		case yes:
			found = append(found, i)
		case maybe:
			open = append(open, i)
		}
	}
	return found, open
}

// searchFacts returns those of rows that m holds for, reading facts, and content where they leave it
// open.
func (a *Account) searchFacts(ctx context.Context, v *View, m *matcher, rows []int) (found []int, err error) {
	ids := make([]EmailID, len(rows))
	index := make(map[EmailID]int, len(rows))
	for i, r := range rows {
		ids[i] = v.At(r).Email
		index[ids[i]] = r
	}
	facts := make(map[EmailID]*Facts)
	var open []EmailID
	slices.Sort(ids)
	err = a.Facts(ctx, ids, func(f *Facts) error {
		row := v.At(index[f.Email])
		switch m.match(&evidence{row: &row, facts: f}) {
		case yes:
			found = append(found, index[f.Email])
		case maybe:
			facts[f.Email] = f
			open = append(open, f.Email)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for len(open) > 0 {
		list, asked, err := a.readForSearch(ctx, open)
		if err != nil {
			return nil, err
		}
		open = open[asked:]
		match := make([]bool, len(list))
		err = parallel(len(list), func(i int) error {
			content, err := list[i].unpack(ctx, a.store)
			if err != nil {
				return err
			}
			id := list[i].facts.Email
			row := v.At(index[id])
			e := evidence{row: &row, facts: facts[id], message: message.Parse(content)}
			match[i] = m.match(&e) == yes
			return nil
		})
		if err != nil {
			return nil, err
		}
		for i := range list {
			if match[i] {
				found = append(found, index[list[i].facts.Email])
			}
		}
	}
	return found, nil
}

// readForSearch reads the packed content of the first of ids, as far as it is still stored, and tells
// how many of them that covers.
func (a *Account) readForSearch(ctx context.Context, ids []EmailID) (list []packedContent, asked int, err error) {
	err = a.store.cfg.KV.View(ctx, a.partition, func(r kv.Reader) (err error) {
		list, asked, err = readBatchPacked(r, ids)
		return err
	})
	return list, asked, err
}
