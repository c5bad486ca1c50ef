package ledger

// debtHeap is a heap.Interface. The debt that is due first has index 0.
type debtHeap[L comparable] []*Debt[L]

func (h debtHeap[L]) Len() int      { return len(h) }
func (h debtHeap[L]) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Less orders debts by when they are due. Debts that are due at the same time are ordered by token.
func (h debtHeap[L]) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].Token < h[j].Token
}

func (h *debtHeap[L]) Push(d any) { *h = append(*h, d.(*Debt[L])) }

func (h *debtHeap[L]) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}
