// The windows of CBOW: the sum of the rows in each, and how a row's step returns to all that its window holds.
//
// Windows of few tokens are summed one by one. Where `window` is wide, sums of all tokens up to a place are made once, and
// a window is a difference of two of them; either way the steps go back by running over the places: a sum of the rows whose
// windows are open at a place gains a row where its window begins and loses it behind its end. So a token takes some four
// additions there, and as many on the way in, however wide its window is.
#pragma once

#include <algorithm>
#include <vector>

#include "pairs.hpp"

namespace w2v {

// Windows up to so many tokens to a side are summed one by one: few are so long that a difference would be cheaper.
constexpr int DIRECT_WINDOW = 8;

// Of a tile's rows, by row and by place; places count the tokens that the tile's windows reach.
struct Windows {
    bool wide;
    int rows = 0, places = 0;
    std::vector<int32_t> first, last, at;  // [rows] the window's places and the row's own
    std::vector<float> share;              // [rows] of the row's step, that each of the window receives
    std::vector<int32_t> inputs, end;      // not wide: the inputs of all windows one after another; [rows] their ends
    std::vector<int32_t> number, id;       // [places] of W_in's row: its input, its row in the table
    std::vector<int32_t> change_end;       // [places] where the place's changes end
    std::vector<int32_t> change_row;       // a row whose window begins at the place or ended before it
    std::vector<float> change_share;       // its share, negative where it ended
    std::vector<int32_t> own_row;          // [places] the row that is the place's own: none of its step returns to it
    std::vector<float> own_share;          // [places] its share, 0 where there is none
    std::vector<float> weight;             // [places] what the steps that return to the place weigh

    Windows(bool wide, size_t tokens, size_t halo, size_t pairs) : wide(wide) {
        for (std::vector<int32_t> *of_row : {&first, &last, &at, &end}) of_row->resize(tokens);
        share.resize(tokens);
        if (!wide) inputs.resize(pairs + PAIR_SLACK);
        for (std::vector<int32_t> *of_place : {&number, &id, &own_row}) of_place->resize(halo + PAIR_SLACK);
        change_end.resize(halo + 3);
        change_row.resize(2 * tokens);
        change_share.resize(2 * tokens);
        own_share.resize(halo);
        weight.resize(halo);
    }

    void begin(int places_at_hand) {
        rows = 0;
        places = places_at_hand;
    }

    // The next row: that of place `of`, with a window from `from` to `to`.
    W2V_INLINE void add(int from, int of, int to, bool mean) {
        first[rows] = from;
        at[rows] = of;
        last[rows] = to;
        share[rows] = mean ? 1.0f : 1.0f / static_cast<float>(to - from);
        if (!wide) {
            int count = rows > 0 ? end[rows - 1] : 0;
            copy(number.data() + from, of - from, count);
            copy(number.data() + of + 1, to - of, count + of - from);
            end[rows] = count + to - from;
        }
        ++rows;
    }

    // Ends the tile's rows: orders what changes by place (a counting sort).
    void end_rows(float weight_per_pair) {
        int32_t *place = change_end.data();
        std::fill(place, place + places + 2, 0);
        std::fill(own_share.begin(), own_share.begin() + places, 0.0f);
        std::fill(own_row.begin(), own_row.begin() + places, 0);
        for (int r = 0; r < rows; ++r) {
            ++place[first[r] + 1];
            ++place[last[r] + 2];
        }
        for (int p = 1; p < places + 2; ++p) place[p] += place[p - 1];
        for (int r = 0; r < rows; ++r) {
            const int begins = place[first[r]]++;
            change_row[begins] = r;
            change_share[begins] = share[r];
            own_row[at[r]] = r;
            own_share[at[r]] = share[r];
            const int ended = place[last[r] + 1]++;
            change_row[ended] = r;
            change_share[ended] = -share[r];
        }
        int count = 0;
        for (int p = 0, i = 0; p < places; ++p) {
            for (; i < place[p]; ++i) count += change_share[i] > 0 ? 1 : -1;
            weight[p] = static_cast<float>(count - (own_share[p] != 0)) * weight_per_pair;
        }
    }

  private:
    W2V_INLINE void copy(const int32_t *from, int length, int to) {
        for (int i = 0; i < length; i += LANES) store(inputs.data() + to + i, load(from + i));
    }
};

// left[r] = the sum, or the mean, of the rows of `input` in the window of r, [inputs, ld]. `sums` has room for a row a place
// and one more where windows are wide.
template <class Tick>
inline void make_windows(
    const Windows &windows, bool mean, const float *input, int ld, Blocks<SUM_VECTORS> blocks, float *sums, float *left,
    Tick &&tick
) {
    const auto row = [ld](const float *rows, int r) { return rows + static_cast<size_t>(r) * ld; };
    if (windows.wide) {
        std::fill(sums, sums + ld, 0.0f);
        float *sum = sums;
        for (int p = 0; p < windows.places; ++p, sum += ld) {
            const float *x = row(input, windows.number[p]);
            for (int d = 0; d < ld; d += LANES) store(sum + ld + d, load(sum + d) + load(x + d));
        }
    }
    for (int r = 0, begin = 0; r < windows.rows; ++r, left += ld) {
        const float share = mean ? 1.0f / static_cast<float>(windows.last[r] - windows.first[r]) : 1.0f;
        if (windows.wide) {
            const float *before = row(sums, windows.first[r]), *own = row(sums, windows.at[r]);
            const float *behind = own + ld, *end = row(sums, windows.last[r] + 1);
            for (int d = 0; d < ld; d += LANES) {
                const Vec earlier = load(own + d) - load(before + d), later = load(end + d) - load(behind + d);
                store(left + d, (earlier + later) * share);
            }
        } else {
            const auto weight = [share](int) { return share; };
            sum_rows<false>(windows.inputs.data() + begin, windows.end[r] - begin, weight, input, ld, blocks, left);
            begin = windows.end[r];
        }
        tick();
    }
}

}  // namespace w2v
