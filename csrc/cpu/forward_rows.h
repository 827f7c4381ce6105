#pragma once

#include <algorithm>
#include <vector>

#include "cpu/buffer.h"
#include "cpu/forward_layer.h"
#include "cpu/leak.h"
#include "cpu/panels.h"
#include "cpu/right_factor.h"
#include "cpu/row_block.h"
#include "cpu/schedule.h"
#include "cpu/tasks.h"
#include "cpu/team.h"
#include "cpu/vec/kernels.h"

namespace elman::cpu {

/// What a run of rows shares with other threads.
struct Sharing {
  bool alone = false;            ///< nothing runs beside it: all share the products with W_x
  int64_t members = 1;           ///< they share each step
  int64_t max_tile = INT64_MAX;  ///< steps of a tile, at most
  int64_t tiles_ahead = 1;       ///< tiles that may be projected before the first is advanced
};

/// Some rows of the batch on their way through the steps of one cell, a tile of steps at a time:
/// first the tile's product with W_x (`project`), then step after step the recurrent product with
/// bias and activation in its epilogue (`advance`). Steps are counted as they are made, in reverse
/// from the last one on. Several threads may be members of one run, each with some columns of every
/// row.
template <typename S, typename P>
class ForwardRows {
 public:
  using C = compute_t<S>;

  ForwardRows(const ForwardLayer<S, P>& layer, const ForwardCell<S, P>& cell, BatchRange range,
              const Sharing& sharing)
      : layer_(layer),
        shape_(layer.shape()),
        cell_(cell),
        range_(range),
        hidden_(shape_.hidden_size),
        stride_(shape_.features()),
        ld_(kInPlace ? stride_ : hidden_),
        carried_ld_(kDirect ? stride_ : hidden_),
        whole_(range.size() == shape_.batch),
        sharing_(sharing),
        tile_(std::min(forward_tile(shape_, range.size(), sizeof(C)), sharing.max_tile)),
        x_buffer_(layer.reads_x_directly()
                      ? 0
                      : sharing.members * tile_ * range.size() * layer.input_size()),
        scratch_(kInPlace ? 0 : sharing.tiles_ahead * tile_ * range.size() * hidden_),
        last_of_tile_(kDirect ? 0 : range.size() * hidden_),
        hx_buffer_(copies_hx() ? range.size() * hidden_ : 0),
        entering_(layer.reset() != nullptr ? sharing.members * range.size() * hidden_ : 0),
        hx_(reads_initial() ? initial_states() : nullptr),
        leaky_(shape_, cell, range),
        is_plain_(!leaky_.exist() && cell.p == nullptr) {}

  /// The states of the step before.
  struct Carried {
    const P* data = nullptr;
    int64_t count = 0;
  };

  /// Takes the rows through all steps, in the columns of `member`.
  void run(Member member) const {
    if (range_.size() == 0) return;
    Carried carried;
    bool stays = true;
    for (int64_t tile = 0; tile < tiles() && stays; ++tile) {
      project(member, tile);
      stays = advance(member, tile, carried);
    }
  }

  int64_t tiles() const { return ceil_div(shape_.steps, tile_); }

  /// The product with W_x for the steps of a tile.
  void project(const Member& member, int64_t index) const {
    const Tile tile = tile_at(index);
    const int64_t slot = range_.size() * layer_.input_size();
    const Multiply<P> multiply = product_kernels<P>().gemm;
    P* const buffer = x_buffer_.get() + member.index * tile_ * slot;
    if (whole_) {  // the steps' rows follow each other
      const int64_t first = shape_.offset(tile.t0), rows = shape_.offset(tile.t1) - first;
      const int64_t block = sharing_.alone ? kSharedRows : rows;
      const double flops = 2.0 * rows * layer_.input_size() * hidden_;
      parallel_tasks(ceil_div(rows, block), flops, [&](int64_t task) {
        const int64_t row = task * block, count = std::min(block, rows - row);
        const StridedMatrix<P> x =
            layer_.x_rows(first + row, count, buffer + row * layer_.input_size());
        for_panels(member.first, member.end, [&](int64_t j, int64_t columns) {
          multiply_columns(multiply, count, x, cell_.weight_ih, j, columns,
                           pre(tile.t0, tile) + row * ld_ + j, ld_, false);
        });
      });
      return;
    }
    std::vector<StridedMatrix<P>> x;
    x.reserve(tile.t1 - tile.t0);
    for (int64_t t = tile.t0; t < tile.t1; ++t)
      x.push_back(layer_.x_rows(range_.row(shape_, t), alive(t), buffer + (t - tile.t0) * slot));
    for_panels(member.first, member.end, [&](int64_t j, int64_t columns) {
      for (int64_t t = tile.t0; t < tile.t1; ++t)
        multiply_columns(multiply, alive(t), x[t - tile.t0], cell_.weight_ih, j, columns,
                         pre(t, tile) + j, ld_, false);
    });
  }

  /// Takes the rows through the steps of one tile that has been projected, after the tiles before
  /// it. Returns whether the member stays in the team.
  bool advance(Member& member, int64_t index, Carried& carried) const {
    const Tile tile = tile_at(index);
    for (int64_t step = tile.begin; step < tile.end; ++step) {
      const int64_t t = time(step), count = alive(t);
      if (count == 0) continue;  // the sequences have ended or, in reverse, not begun
      C* const state = pre(t, tile);
      take_step(member, t, count, carried, state);
      keep_final(member, t, count);
      if constexpr (kDirect) {
        carried = {h_row(t), count};
      } else {
        carried = {state, count};
      }
      if (!member.meet(hidden_)) return false;
    }
    if constexpr (!kDirect) {
      for (int64_t i = 0; i < carried.count && carried.data != last_of_tile_.get(); ++i)
        std::copy(carried.data + i * hidden_ + member.first,
                  carried.data + i * hidden_ + member.end,
                  last_of_tile_.get() + i * hidden_ + member.first);
      carried.data = last_of_tile_.get();
      return member.meet(hidden_);
    }
    return true;
  }

 private:
  static constexpr bool kInPlace = ForwardLayer<S, P>::kInPlace;
  static constexpr bool kDirect = ForwardLayer<S, P>::kDirect;
  /// Unless the next step reads the states as they are stored, it is to see what is stored.
  static constexpr bool kTakeBack = !kDirect;

  int64_t time(int64_t step) const { return cell_.reverse ? shape_.steps - 1 - step : step; }
  int64_t alive(int64_t t) const { return range_.alive(shape_, t); }

  /// The first row of step t in something of the states' shape.
  template <typename T>
  T* at_row(T* rows, int64_t t) const {
    return rows + range_.row(shape_, t) * stride_;
  }
  S* h_row(int64_t t) const { return at_row(cell_.h, t); }

  /// Steps that are taken together.
  struct Tile {
    int64_t begin, end;  ///< in the order in which they are made
    int64_t t0, t1;      ///< in the sequence
    C* scratch;          ///< room for them, if they are not computed in place
  };
  Tile tile_at(int64_t index) const {
    const int64_t begin = index * tile_, end = std::min(begin + tile_, shape_.steps);
    const int64_t t0 = std::min(time(begin), time(end - 1));
    C* const scratch =
        kInPlace ? nullptr
                 : scratch_.get() + index % sharing_.tiles_ahead * tile_ * range_.size() * hidden_;
    return {begin, end, t0, t0 + end - begin, scratch};
  }

  /// Where step t of a tile is computed: where h_t goes, or in the tile's scratch.
  C* pre(int64_t t, const Tile& tile) const {
    if constexpr (kInPlace) {
      return h_row(t);
    } else {
      const int64_t rows =
          whole_ ? shape_.offset(t) - shape_.offset(tile.t0) : (t - tile.t0) * range_.size();
      return tile.scratch + rows * hidden_;
    }
  }

  /// Whether W_h reads anything but zeros of the initial states.
  bool reads_initial() const {
    return cell_.hx != nullptr || static_cast<C>(cell_.read_of_zero) != C(0);
  }
  bool copies_hx() const { return reads_initial() && (!kDirect || cell_.reads_activated); }

  /// What W_h reads of the initial states: [rows, H] as factors.
  const P* initial_states() const {
    const S* const hx = cell_.hx != nullptr ? cell_.hx + range_.first * hidden_ : nullptr;
    if (cell_.reads_activated) {
      load_activated<S, P>(shape_.activation, range_.size(), hidden_, {hx, hidden_},
                           hx_buffer_.get());
      return hx_buffer_.get();
    }
    if constexpr (kDirect) {
      return hx;
    } else {
      for_panels(hidden_, [&](int64_t j, int64_t columns) {
        storage_kernels<S, P>().load(range_.size(), columns, columns, {hx + j, hidden_},
                                     hx_buffer_.get() + j, hidden_);
      });
      return hx_buffer_.get();
    }
  }

  /// The states that enter a step: rows [first, first + count) of it.
  struct Entering {
    const P* data;
    int64_t stride;
    int64_t first, count;
  };

  /// One step: h = f(pre + previous W_h^T + bias).
  void take_step(const Member& member, int64_t t, int64_t count, const Carried& carried,
                 C* state) const {
    // Sequences that begin with this step, in reverse after the first one, start from hx.
    const int64_t known = std::min(carried.count, count);
    Entering parts[] = {{carried.data, carried_ld_, 0, known}, {nullptr, hidden_, known, 0}};
    if (hx_ != nullptr) parts[1] = {hx_ + known * hidden_, hidden_, known, count - known};
    if (layer_.reset() != nullptr) apply_reset(member, t, parts);

    const Multiply<P> multiply = product_kernels<P>().for_problem(shape_.batch_at(t), hidden_);
    const auto add_product = [&](int64_t j, int64_t columns) {
      for (const Entering& part : parts) {
        if (part.count > 0)
          multiply_columns(multiply, part.count, {part.data, part.stride, 1}, cell_.weight_hh, j,
                           columns, state + part.first * ld_ + j, ld_, true);
      }
    };
    const bool backwards = cell_.weight_hh.backwards(t, count);
    S* const h = h_row(t);
    if (!is_plain_) {
      for_panels(
          member.first, member.end,
          [&](int64_t j, int64_t columns) {
            const Rows<S> drive{cell_.drive == nullptr ? nullptr : at_row(cell_.drive, t) + j,
                                stride_};
            if (drive.data != nullptr) leaky_.fetch(count, columns, drive);
            add_product(j, columns);
            if (cell_.p != nullptr)
              storage_kernels<S, C>().add(count, columns, {at_row(cell_.p, t) + j, stride_},
                                          state + j, ld_);
            if (!leaky_.exist()) return activate(j, columns, count, state, h);
            leaky_.advance(count, j, columns, state + j, ld_, {h + j, stride_}, drive, kTakeBack);
          },
          backwards);
      return;
    }
    for_panels(
        member.first, member.end,
        [&](int64_t j, int64_t columns) {
          add_product(j, columns);
          activate(j, columns, count, state, h);
        },
        backwards);
  }

  /// The end of a plain cell's step, in the columns [j, j + columns) of `count` rows.
  void activate(int64_t j, int64_t columns, int64_t count, C* state, S* h) const {
    const C* const bias = cell_.bias.get();
    const Rows<const C> panel_bias{bias != nullptr ? bias + j : nullptr,
                                   cell_.bias_rows > 1 ? hidden_ : 0};
    storage_kernels<S, C>().activate(shape_.activation, count, columns, panel_bias, state + j, ld_,
                                     {h + j, stride_}, kTakeBack);
  }

  /// Where a row is reset before step t, its state is replaced by zeros, so that NaN ends there
  /// too. A step without resets goes on as it came.
  void apply_reset(const Member& member, int64_t t, Entering (&parts)[2]) const {
    const int64_t border = cell_.reverse ? t + 1 : t;
    const int64_t known = alive(border);
    if (known == 0) return;
    const uint8_t* const reset = layer_.reset() + range_.row(shape_, border);
    if (leaky_.exist()) leaky_.reset(member, reset, known);
    P* const buffer = entering_.get() + member.index * range_.size() * hidden_;
    for (Entering& part : parts) {
      const int64_t end = std::min(known, part.first + part.count);
      if (part.first >= end) continue;
      if (std::all_of(reset + part.first, reset + end, [](uint8_t cut) { return cut == 0; }))
        continue;
      P* const copy = buffer + part.first * hidden_;
      for (int64_t i = 0; i < part.count; ++i) {
        P* const to = copy + i * hidden_;
        if (part.first + i < known && reset[part.first + i]) {
          std::fill_n(to, hidden_, static_cast<P>(cell_.read_of_zero));
        } else {
          std::copy_n(part.data + i * part.stride, hidden_, to);
        }
      }
      part.data = copy;
      part.stride = hidden_;
    }
  }

  void keep_final(const Member& member, int64_t t, int64_t count) const {
    const int64_t first = range_.first_final(shape_, t, cell_.reverse);
    if (first >= count) return;
    const S* const h = h_row(t);
    if (cell_.reads_activated) {  // the output is not the state
      leaky_.store(member, first, count, cell_.h_n + range_.first * hidden_);
      return;
    }
    for (int64_t i = first; i < count; ++i)
      std::copy(h + i * stride_ + member.first, h + i * stride_ + member.end,
                cell_.h_n + (range_.first + i) * hidden_ + member.first);
  }

  const ForwardLayer<S, P>& layer_;
  const StackShape& shape_;
  const ForwardCell<S, P>& cell_;
  const BatchRange range_;
  const int64_t hidden_;
  const int64_t stride_;      ///< distance of the states' rows, D * H
  const int64_t ld_;          ///< distance of the rows computed in
  const int64_t carried_ld_;  ///< distance of the rows that the next step reads
  const bool whole_;          ///< all rows of the batch
  const Sharing sharing_;
  const int64_t tile_;            ///< steps
  const Buffer<P> x_buffer_;      ///< each member's input of a tile, if it is not read directly
  const Buffer<C> scratch_;       ///< the tiles' states as C, if they are not computed in place;
  const Buffer<P> last_of_tile_;  ///< [rows, H], and the last of them
  const Buffer<P> hx_buffer_;     ///< [rows, H]
  const Buffer<P> entering_;      ///< [members, rows, H], the states after resets
  const P* const hx_;             ///< [rows, H] or null, what W_h reads of the initial states
  const LeakyStates<S, P> leaky_;
  const bool is_plain_;  ///< nothing comes into a step but its two products and the bias
};

}  // namespace elman::cpu
