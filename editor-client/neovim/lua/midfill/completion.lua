--- Suggestions in one buffer at a time: asks while the user types, draws, types through, accepts.
---
--- A suggestion is anchored where it was asked for. What the user has typed since then is compared with
--- it at every change: while it fits, the rest stays on the screen, and nothing is asked.
local config = require('midfill.config')
local ghost = require('midfill.ghost')
local server = require('midfill.server')
local text = require('midfill.text')

local M = {}

local AUTOMATIC, INVOKED = 2, 1

---@class midfill.Item
---@field id string
---@field text string what would be inserted at the anchor, with "\n" line ends

---@class midfill.Anchor
---@field row integer from 0
---@field col integer bytes, from 0
---@field after string what followed on the line

---@class midfill.State
---@field bufnr integer
---@field anchor midfill.Anchor?
---@field items midfill.Item[]
---@field index integer of the item that is drawn
---@field drawn string? what is on the screen
---@field request integer? the one that is under way, for the server
---@field asked integer? its number, for us: those before do not count any more
---@field asked_at midfill.Anchor?
---@field is_partial boolean? the items still grow
---@field is_complete boolean? the items are a final answer
---@field has_all boolean? the items are all candidates
---@field seen string? the place of the last look
local state = nil ---@type midfill.State?

local requests = 0

local function fresh(bufnr)
  return { bufnr = bufnr, items = {}, index = 1 }
end

local function cursor()
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  return row - 1, col
end

local function is_inserting()
  local mode = vim.api.nvim_get_mode().mode
  return mode:sub(1, 1) == 'i'
end

--- The suggestion that is drawn, without what is typed of it.
---@return string?
local function rest()
  local anchor = state and state.anchor
  local item = state and state.items[state.index]
  local row, col = cursor()
  if not anchor or not item or row < anchor.row or (row == anchor.row and col < anchor.col) then
    return nil
  end
  local line = vim.api.nvim_buf_get_lines(state.bufnr, row, row + 1, false)[1]
  if line:sub(col + 1) ~= anchor.after then
    return nil
  end
  local typed = vim.api.nvim_buf_get_text(state.bufnr, anchor.row, anchor.col, row, col, {})
  return text.rest(item.text, table.concat(typed, '\n'))
end

local function tell_shown(item)
  if not item.is_shown then
    item.is_shown = true
    server.notify('midfill/shown', { itemId = item.id })
  end
end

--- Draw what is left of the suggestion; whether there is anything.
---@return boolean
local function draw()
  local left = rest()
  if not left or left == '' or vim.fn.pumvisible() == 1 then
    ghost.hide(state.bufnr)
    state.drawn = nil
    return false
  end
  local row, col = cursor()
  ghost.show(state.bufnr, row, col, left)
  if left ~= state.drawn then
    state.drawn = left
    local data = { text = left, item_id = state.items[state.index].id }
    vim.api.nvim_exec_autocmds('User', { pattern = 'MidfillShown', modeline = false, data = data })
  end
  tell_shown(state.items[state.index])
  return true
end

local function cancel()
  server.cancel(state.request)
  state.request, state.asked = nil, nil
end

--- Forget the suggestion, draw nothing, ask for nothing.
local function drop()
  cancel()
  ghost.hide(state.bufnr)
  state = fresh(state.bufnr)
end

--- Take over items as the server sends them; those that are known keep what is known of them.
local function take(items, anchor)
  local known = {}
  for _, item in ipairs(state.items) do
    known[item.id] = item
  end
  local current = state.items[state.index]
  state.items, state.index, state.anchor = {}, 1, anchor
  for number, raw in ipairs(items) do
    local item = known[raw.itemId] or { id = raw.itemId }
    item.text = text.with_newlines(raw.insertText)
    state.items[number] = item
    if current and current.id == item.id then
      state.index = number
    end
  end
end

local function anchor_here()
  local row, col = cursor()
  local line = vim.api.nvim_get_current_line()
  return { row = row, col = col, after = line:sub(col + 1) }
end

--- A handler that counts only while its request is the newest one.
local function if_asked(number, bufnr, handler)
  return function(err, result)
    if state and state.bufnr == bufnr and state.asked == number then
      handler(err, result)
    end
  end
end

--- Send a request for this place; its replies go to `handler` while it is the newest.
local function send(method, fields, handler)
  cancel()
  local client, bufnr = server.client(), state.bufnr
  if not client then
    return
  end
  requests = requests + 1
  local number, anchor = requests, anchor_here()
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params = vim.tbl_extend('error', params, fields, {
    partialResultToken = ('%s/%d'):format(server.name, number),
  })
  state.asked, state.asked_at = number, anchor
  state.request = server.request(method, params, if_asked(number, bufnr, function(err, result)
    handler(err, result, anchor)
  end), bufnr)
end

--- The answer to the newest request: null leaves what is shown, unless that was only a part.
local function answered(err, result, anchor)
  state.request, state.asked = nil, nil
  if err or result == nil or result == vim.NIL then
    if state.is_partial then
      drop()
    end
    return
  end
  state.is_partial, state.has_all = false, false
  take(result.items, anchor)
  state.is_complete = true
  draw()
end

local function ask(kind)
  state.is_complete = false
  send('textDocument/inlineCompletion', { context = { triggerKind = kind } }, answered)
end

--- A part of the answer to the newest request, drawn at once.
server.on_partial = function(token, value)
  local number = tonumber(token:match('/(%d+)$'))
  if state and number == state.asked and #value.items > 0 then
    state.is_partial = true
    take(value.items, state.asked_at)
    draw()
  end
end

server.on_gone = function()
  if state then
    ghost.hide(state.bufnr)
    state = fresh(state.bufnr)
  end
end

--- Look at what the user has done: go on with the suggestion, or ask for another.
function M.changed()
  local bufnr = vim.api.nvim_get_current_buf()
  if not state or state.bufnr ~= bufnr or not is_inserting() then
    return
  end
  local row, col = cursor()
  local seen = ('%d %d %d'):format(vim.api.nvim_buf_get_changedtick(bufnr), row, col)
  if seen == state.seen then
    return
  end
  local goes_on = draw() and state.is_complete
  if not goes_on then
    if not state.drawn then
      drop()
    end
    ask(AUTOMATIC)
  end
  state.seen = seen
end

--- Look again though nothing has changed here: the server has something to say now.
function M.retry()
  if state and not state.drawn then
    state.seen = nil
    M.changed()
  end
end

--- The popup menu has come: both at once would be too much.
function M.popup()
  if state then
    ghost.hide(state.bufnr)
    state.drawn = nil
  end
end

--- The user begins to type in a buffer.
---@param bufnr integer
function M.enter(bufnr)
  if not config.wants(bufnr) then
    return
  end
  state = fresh(bufnr)
  if is_inserting() then
    M.changed()
  end
end

--- The user has stopped typing, or left the buffer.
function M.leave()
  if state then
    drop()
    state = nil
  end
end

--- Whether a suggestion is on the screen.
---@return boolean
function M.is_shown()
  return state ~= nil and state.drawn ~= nil
end

--- Put a part of the suggestion into the buffer, as an edit to be undone by itself.
---@param part string
local function insert(part)
  local row, col = cursor()
  local lines = vim.split(part, '\n', { plain = true })
  vim.cmd('let &l:undolevels = &l:undolevels')
  vim.api.nvim_buf_set_text(state.bufnr, row, col, row, col, lines)
  local last = #lines[#lines]
  vim.api.nvim_win_set_cursor(0, { row + #lines, #lines == 1 and col + last or last })
end

--- Accept what `choose` takes of the suggestion; whether there was one.
---@param kind 'full'|'word'|'line'
---@param choose fun(left: string): string
---@return boolean
local function accept(kind, choose)
  local left = M.is_shown() and rest() or nil
  if not left then
    return false
  end
  local part, item = choose(left), state.items[state.index]
  vim.schedule(function() -- keys that are expressions may not change the text themselves
    if not state or rest() ~= left then
      return
    end
    insert(part)
    local event = { itemId = item.id, acceptedLength = text.length(part) }
    event.kind = part == left and 'full' or kind
    server.notify('midfill/accepted', event)
    M.changed()
  end)
  return true
end

--- Accept the suggestion; false if there is none.
---@return boolean
function M.accept()
  return accept('full', function(left)
    return left
  end)
end

--- Accept its next word.
---@return boolean
function M.accept_word()
  return accept('word', text.word)
end

--- Accept the rest of its line.
---@return boolean
function M.accept_line()
  return accept('line', text.line)
end

--- Turn the suggestion away until the next change.
---@return boolean
function M.dismiss()
  if not M.is_shown() then
    return false
  end
  server.notify('midfill/dismissed', { itemId = state.items[state.index].id })
  local seen = state.seen
  drop()
  state.seen = seen
  return true
end

--- Show the candidate that is `step` further on; asks for candidates if that was not done yet.
---@param step integer
---@return boolean
function M.cycle(step)
  if not M.is_shown() then
    return false
  end
  if state.has_all then
    repeat -- those that the user has not typed something else than
      state.index = (state.index - 1 + step) % #state.items + 1
    until (rest() or '') ~= ''
    return draw()
  end
  send('midfill/candidates', { count = config.options.candidates }, function(err, result, anchor)
    answered(err, result, anchor)
    if state.is_complete and #state.items > 0 then
      state.has_all = true
      M.cycle(step)
    end
  end)
  return true
end

--- Ask now, for the user: this waits for a model that loads.
---@return boolean
function M.trigger()
  local bufnr = vim.api.nvim_get_current_buf()
  if not state or state.bufnr ~= bufnr then
    state = fresh(bufnr)
  end
  drop()
  ask(INVOKED)
  return true
end

server.on_loaded = M.retry

return M
