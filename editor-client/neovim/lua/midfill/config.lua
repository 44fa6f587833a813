--- The options of the plug-in: defaults, and what the user set over them.
local M = {}

---@class midfill.Keys
---@field accept string|false all of the suggestion
---@field accept_word string|false
---@field accept_line string|false
---@field next string|false another candidate
---@field previous string|false
---@field dismiss string|false
---@field trigger string|false ask now

---@class midfill.Config
---@field cmd string[] starts the server
---@field enabled boolean whether suggestions are shown at all
---@field filetypes table<string, boolean> where; `['*']` stands for all that are not named
---@field root_markers string[] files or folders that mark the top of a project
---@field settings table the server's options, as in docs/settings.md without `midfill.`
---@field keys midfill.Keys|false insert-mode keys; a key that is mapped already is left alone
---@field candidates integer how many are asked for when cycling, 2 to 8
---@field restarts integer how often a server that ended by itself is started again
local defaults = {
  cmd = { 'midfill', 'lsp' },
  enabled = true,
  filetypes = { ['*'] = true },
  root_markers = { '.git' },
  settings = {},
  keys = {
    accept = '<Tab>',
    accept_word = '<M-Right>',
    accept_line = '<M-Down>',
    next = '<M-]>',
    previous = '<M-[>',
    dismiss = '<C-]>',
    trigger = '<M-\\>',
  },
  candidates = 4,
  restarts = 3,
}

---@type midfill.Config
M.options = vim.deepcopy(defaults)

--- Whether `value` can be option `name`: of the default's type, or false for keys.
local function check(name, value, default)
  local allowed = type(default)
  local is_off = value == false and (name == 'keys' or vim.startswith(name, 'keys.'))
  if type(value) ~= allowed and not is_off then
    local text = 'midfill: option %s is %s; it must be a %s'
    error(text:format(name, vim.inspect(value), allowed), 0)
  end
end

--- Take the user's options.
--- Raises an error that names the option if one is unknown or of a wrong type.
---@param user table?
function M.set(user)
  user = user or {}
  for name, value in pairs(user) do
    if defaults[name] == nil then
      local known = table.concat(vim.tbl_keys(defaults), ', ')
      error(('midfill: there is no option %s; there are %s'):format(name, known), 0)
    end
    check(name, value, defaults[name])
  end
  for name, key in pairs(user.keys or {}) do
    check('keys.' .. name, key, defaults.keys[name])
  end
  M.options = vim.tbl_deep_extend('force', vim.deepcopy(defaults), user)
  if user.cmd then
    M.options.cmd = user.cmd
  end
end

--- Whether the user wants suggestions in a buffer.
---@param bufnr integer
---@return boolean
function M.wants(bufnr)
  if not M.options.enabled or vim.b[bufnr].midfill_enabled == false then
    return false
  end
  local filetypes, filetype = M.options.filetypes, vim.bo[bufnr].filetype
  local wanted = filetypes[filetype]
  if wanted == nil then
    wanted = filetypes['*']
  end
  return wanted == true
end

--- Whether a buffer is a text that a user edits, with a name that the server understands.
---@param bufnr integer
---@return boolean
function M.is_text(bufnr)
  local bo = vim.bo[bufnr]
  return bo.buftype == '' and bo.filetype ~= '' and bo.modifiable
end

return M
