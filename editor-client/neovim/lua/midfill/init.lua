--- midfill for Neovim: local code completion as ghost text. See :help midfill.
local commands = require('midfill.commands')
local completion = require('midfill.completion')
local config = require('midfill.config')
local ghost = require('midfill.ghost')
local keys = require('midfill.keys')
local server = require('midfill.server')

local M = {
  accept = completion.accept,
  accept_word = completion.accept_word,
  accept_line = completion.accept_line,
  dismiss = completion.dismiss,
  trigger = completion.trigger,
  is_shown = completion.is_shown,
}

--- Show the next candidate; false if there is no suggestion.
---@return boolean
function M.next()
  return completion.cycle(1)
end

--- Show the candidate before.
---@return boolean
function M.previous()
  return completion.cycle(-1)
end

local GROUP = 'midfill'
---@type table<integer, true>
local attached = {}

local function listen(group, bufnr)
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, buffer = bufnr, callback = callback })
  end
  on({ 'InsertEnter' }, function()
    vim.schedule(function() -- the mode is the new one only then
      if vim.api.nvim_get_current_buf() == bufnr then
        completion.enter(bufnr)
      end
    end)
  end)
  on({ 'TextChangedI', 'CursorMovedI', 'CompleteDone' }, completion.changed)
  on({ 'TextChangedP' }, completion.popup)
  on({ 'InsertLeave', 'BufLeave' }, completion.leave)
  on({ 'BufUnload' }, function()
    M.detach(bufnr)
  end)
end

--- Serve a buffer: server, events, keys.
---@param bufnr integer
function M.attach(bufnr)
  if attached[bufnr] or not config.wants(bufnr) or not config.is_text(bufnr) then
    return
  end
  attached[bufnr] = true
  server.attach(bufnr)
  listen(vim.api.nvim_create_augroup(GROUP .. bufnr, {}), bufnr)
  keys.map(bufnr, M)
  if vim.api.nvim_get_current_buf() == bufnr then
    completion.enter(bufnr)
  end
end

--- Leave nothing of ours in a buffer.
---@param bufnr integer
function M.detach(bufnr)
  if attached[bufnr] then
    attached[bufnr] = nil
    if vim.api.nvim_get_current_buf() == bufnr then
      completion.leave()
    end
    vim.api.nvim_del_augroup_by_name(GROUP .. bufnr)
    keys.unmap(bufnr)
    ghost.hide(bufnr)
    server.detach(bufnr)
  end
end

--- Serve what the options want now, and nothing else.
function M.refresh()
  for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(bufnr) then
      if config.wants(bufnr) then
        M.attach(bufnr)
      else
        M.detach(bufnr)
      end
    end
  end
end

--- Turn suggestions on or off: everywhere, in the buffer, or in all buffers of its filetype.
---@param where 'global'|'buffer'|'filetype'
---@param is_on boolean? nil: the opposite of what is
function M.toggle(where, is_on)
  local bufnr = vim.api.nvim_get_current_buf()
  if where == 'global' then
    is_on = is_on == nil and not config.options.enabled or is_on or false
    config.options.enabled = is_on
  elseif where == 'buffer' then
    is_on = is_on == nil and vim.b[bufnr].midfill_enabled == false or is_on or false
    vim.b[bufnr].midfill_enabled = is_on
  else
    local filetypes, filetype = config.options.filetypes, vim.bo[bufnr].filetype
    local before = filetypes[filetype]
    if before == nil then
      before = filetypes['*'] or false
    end
    is_on = is_on == nil and not before or is_on or false
    filetypes[filetype] = is_on
  end
  M.refresh()
end

--- What the server does, for a status line.
---@return string
function M.statusline()
  local status = server.status
  if not attached[vim.api.nvim_get_current_buf()] then
    return 'midfill: off here'
  end
  local share = type(status.progress) == 'number' and (' %d%%'):format(status.progress * 100) or ''
  return ('midfill: %s%s'):format(status.state, status.state == 'loading' and share or '')
end

--- Start. May be called again with other options.
---@param options table? see :help midfill-options
function M.setup(options)
  M.teardown()
  config.set(options)
  vim.api.nvim_set_hl(0, ghost.highlight, { link = 'Comment', default = true })
  commands.create(M)
  local group = vim.api.nvim_create_augroup(GROUP, {})
  vim.api.nvim_create_autocmd('FileType', {
    group = group,
    callback = function(event)
      if config.wants(event.buf) then
        M.attach(event.buf)
      else
        M.detach(event.buf)
      end
    end,
  })
  M.refresh()
end

--- Stop: no server, no keys, no events, no commands are left.
function M.teardown()
  for bufnr in pairs(attached) do
    M.detach(bufnr)
  end
  pcall(vim.api.nvim_del_augroup_by_name, GROUP)
  commands.delete()
  server.stop()
end

return M
